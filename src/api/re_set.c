/* SPDX-License-Identifier: MIT */

#include "api/re_set.h"
#include "api/re_call.h"
#include "vm/bytes.h"
#include "vm/object.h"

/* The environment has the expressions, from 1 on, and for texts that are no UTF-8 others from -1 down, which
 * are made when the first such text comes. */
typedef struct patterns {
    mqlua_object object;
    int count;
    bool utf;
} patterns;

static int l_match(lua_State *L);
static int l_all(lua_State *L);
static int l_len(lua_State *L);

static const luaL_Reg methods[] = {{"match", l_match}, {"all", l_all}, {NULL, NULL}};
static const luaL_Reg meta[] = {{"__len", l_len}, {NULL, NULL}};
static const mqlua_type type = {.name = "patterns", .methods = methods, .meta = meta};

void mqlua_re_set_register(lua_State *L)
{
    mqlua_object_register(L, &type);
}

static int l_len(lua_State *L)
{
    lua_pushinteger(L, ((const patterns *)mqlua_object_check(L, 1, &type))->count);
    return 1;
}

/* Pushes expression number i of the environment at index, as the text needs it. */
static mqlua_regex *push_for(lua_State *L, int index, int i, const char *text, size_t size, bool valid)
{
    lua_rawgeti(L, index, valid ? i : -i);
    if (!lua_isnil(L, -1))
        return lua_touserdata(L, -1);
    lua_pop(L, 1);
    lua_rawgeti(L, index, i);
    mqlua_regex *regex = mqlua_regex_replace_for(L, text, size);
    lua_pushvalue(L, -1);
    lua_rawseti(L, index, -i);
    return regex;
}

/* Does expression number i match? The environment is at index. */
static int search(lua_State *L, int index, int i, const char *text, size_t size, bool valid)
{
    const size_t *offsets;
    mqlua_regex *regex = push_for(L, index, i, text, size, valid);
    int found = mqlua_regex_search(L, regex, text, size, 0, &offsets);
    lua_pop(L, 1);
    return found;
}

/* Pushes the environment of the set at 1 and reads the text at 2. */
static const patterns *begin(lua_State *L, const char **text, size_t *size, bool *valid)
{
    const patterns *self = mqlua_object_check(L, 1, &type);
    *text = mqlua_bytes_check(L, 2, size);
    *valid = !self->utf || mqlua_regex_is_utf(L, *text, *size);
    lua_settop(L, 2);
    lua_getfenv(L, 1);
    return self;
}

/* match(text): the number of the first that matches. */
static int l_match(lua_State *L)
{
    const char *text;
    size_t size;
    bool valid, limit = false;
    const patterns *self = begin(L, &text, &size, &valid);
    for (int i = 1; i <= self->count; i++) {
        int found = search(L, 3, i, text, size, valid);
        limit |= found == MQLUA_REGEX_LIMIT;
        if (found > 0) {
            lua_pushinteger(L, i);
            return 1;
        }
    }
    if (limit)
        return mqlua_re_push_limit(L, 1);
    lua_pushnil(L);
    return 1;
}

/* all(text): a list of the numbers of those that match. */
static int l_all(lua_State *L)
{
    const char *text;
    size_t size;
    bool valid;
    int count = 0;
    const patterns *self = begin(L, &text, &size, &valid);
    lua_newtable(L);
    for (int i = 1; i <= self->count; i++) {
        int found = search(L, 3, i, text, size, valid);
        if (found == MQLUA_REGEX_LIMIT)
            return mqlua_re_push_limit(L, 1);
        if (found > 0) {
            lua_pushinteger(L, i);
            lua_rawseti(L, 4, ++count);
        }
    }
    return 1;
}

int mqlua_re_set_make(lua_State *L)
{
    mqlua_regexes *all = lua_touserdata(L, lua_upvalueindex(1));
    luaL_checktype(L, 1, LUA_TTABLE);
    unsigned flags = mqlua_re_options(L, 2);
    lua_settop(L, 1);
    patterns *self = mqlua_object_push(L, &type, sizeof *self, NULL);
    self->count = (int)lua_objlen(L, 1);
    self->utf = flags & MQLUA_REGEX_UTF;
    lua_createtable(L, self->count, 0);
    for (int i = 1; i <= self->count; i++) {
        lua_rawgeti(L, 1, i);
        if (lua_type(L, -1) != LUA_TSTRING)
            return luaL_error(L, "mq.re.set: entry %d is a %s, not a text", i, luaL_typename(L, -1));
        mqlua_regex_push(L, all, 4, flags);
        lua_rawseti(L, 3, i);
        lua_pop(L, 1);
    }
    lua_setfenv(L, 2);
    return 1;
}
