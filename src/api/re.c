/* SPDX-License-Identifier: MIT */

#include "api/re.h"
#include "api/re_set.h"
#include "vm/bytes.h"
#include "vm/vm.h"

#include <string.h>

/* Letters of options: j and o are what happens anyway. */
static unsigned option_of(lua_State *L, char letter)
{
    static const char letters[] = "aimsxuJDUjo";
    static const unsigned flags[] = {
        MQLUA_REGEX_ANCHORED,
        MQLUA_REGEX_CASELESS,
        MQLUA_REGEX_MULTILINE,
        MQLUA_REGEX_DOTALL,
        MQLUA_REGEX_EXTENDED,
        MQLUA_REGEX_UTF,
        MQLUA_REGEX_DUPNAMES,
        MQLUA_REGEX_SCRIPT,
        MQLUA_REGEX_UTF,
        0,
        0,
    };
    const char *at = letter ? strchr(letters, letter) : NULL;
    if (!at)
        luaL_error(L, "mq.re: there is no option '%c': there are a, i, j, m, o, s, u, x, D, J and U", letter);
    return flags[at - letters];
}

unsigned mqlua_re_options(lua_State *L, int index)
{
    unsigned flags = 0;
    size_t size;
    const char *options = luaL_optlstring(L, index, "", &size);
    for (size_t i = 0; i < size; i++)
        flags |= option_of(L, options[i]);
    return flags;
}

mqlua_re_call mqlua_re_begin(lua_State *L, int options)
{
    mqlua_re_call call;
    mqlua_regexes *all = lua_touserdata(L, lua_upvalueindex(1));
    call.text = mqlua_bytes_check(L, 1, &call.size);
    luaL_checkstring(L, 2); /* a number becomes a string */
    mqlua_regex_push(L, all, 2, mqlua_re_options(L, options));
    call.regex = mqlua_regex_replace_for(L, call.text, call.size);
    return call;
}

size_t mqlua_re_start(lua_State *L, int index, const mqlua_re_call *call)
{
    if (lua_isnoneornil(L, index))
        return 0;
    luaL_checktype(L, index, LUA_TTABLE);
    lua_getfield(L, index, "pos");
    lua_Number position = lua_isnil(L, -1) ? 1 : lua_tonumber(L, -1);
    lua_pop(L, 1);
    if (!(position >= 1))
        luaL_error(L, "mq.re: ctx.pos must be a position from 1 on");
    if (position > (lua_Number)call->size + 1)
        return call->size + 1;
    size_t start = (size_t)position - 1;
    if (call->regex->flags & MQLUA_REGEX_UTF) /* not inside of a character */
        while (start < call->size && ((unsigned char)call->text[start] & 0xc0) == 0x80)
            start++;
    return start;
}

/* The next search with this ctx begins behind the match. */
static void set_start(lua_State *L, int index, const size_t *offsets)
{
    if (lua_isnoneornil(L, index))
        return;
    lua_pushnumber(L, (lua_Number)offsets[1] + 1);
    lua_setfield(L, index, "pos");
}

void mqlua_re_push_group(lua_State *L, const mqlua_re_call *call, const size_t *offsets, uint32_t number)
{
    size_t begin = offsets[2 * number], end = offsets[2 * number + 1];
    if (begin == SIZE_MAX || end < begin) {
        lua_pushboolean(L, 0);
        return;
    }
    mqlua_vm_charge(L, 1 + (end - begin) / 16);
    lua_pushlstring(L, call->text + begin, end - begin);
}

/* The table of groups is on the top. Of several groups of one name the first that is set counts. */
static void add_names(lua_State *L, const mqlua_regex *regex)
{
    const unsigned char *entry = regex->name_table;
    for (uint32_t i = 0; i < regex->names; i++, entry += regex->name_size) {
        const char *name = (const char *)entry + 2;
        lua_getfield(L, -1, name);
        bool set =
            lua_isstring(L, -1) && i > 0 && strcmp(name, (const char *)entry - regex->name_size + 2) == 0;
        lua_pop(L, 1);
        if (set)
            continue;
        lua_rawgeti(L, -1, entry[0] << 8 | entry[1]);
        lua_setfield(L, -2, name);
    }
}

void mqlua_re_push_groups(lua_State *L, const mqlua_re_call *call, const size_t *offsets, int into)
{
    uint32_t groups = call->regex->groups;
    mqlua_vm_charge(L, groups);
    luaL_checkstack(L, 6, NULL);
    if (into > 0)
        lua_pushvalue(L, into);
    else
        lua_createtable(L, (int)groups, 1 + (int)call->regex->names);
    for (uint32_t i = 0; i <= groups; i++) {
        mqlua_re_push_group(L, call, offsets, i);
        lua_rawseti(L, -2, (int)i);
    }
    add_names(L, call->regex);
}

int mqlua_re_push_limit(lua_State *L, int nils)
{
    for (int i = 0; i < nils; i++)
        lua_pushnil(L);
    lua_pushliteral(L, "the expression needs too much backtracking for this text");
    lua_pushliteral(L, "limit");
    return nils + 2;
}

/* match(text, regex, options, ctx, groups) */
static int l_match(lua_State *L)
{
    const size_t *offsets;
    lua_settop(L, 5);
    mqlua_re_call call = mqlua_re_begin(L, 3);
    size_t start = mqlua_re_start(L, 4, &call);
    if (!lua_isnil(L, 5))
        luaL_checktype(L, 5, LUA_TTABLE);
    int found = start > call.size ? MQLUA_REGEX_NONE
                                  : mqlua_regex_search(L, call.regex, call.text, call.size, start, &offsets);
    if (found == MQLUA_REGEX_LIMIT)
        return mqlua_re_push_limit(L, 1);
    if (found == MQLUA_REGEX_NONE) {
        lua_pushnil(L);
        return 1;
    }
    set_start(L, 4, offsets);
    mqlua_re_push_groups(L, &call, offsets, lua_isnil(L, 5) ? 0 : 5);
    return 1;
}

/* find(text, regex, options, ctx, group) */
static int l_find(lua_State *L)
{
    const size_t *offsets;
    lua_settop(L, 5);
    mqlua_re_call call = mqlua_re_begin(L, 3);
    size_t start = mqlua_re_start(L, 4, &call);
    lua_Integer group = luaL_optinteger(L, 5, 0);
    if (group < 0 || group > (lua_Integer)call.regex->groups)
        return luaL_error(L, "mq.re.find: the expression has no group %d", (int)group);
    int found = start > call.size ? MQLUA_REGEX_NONE
                                  : mqlua_regex_search(L, call.regex, call.text, call.size, start, &offsets);
    if (found == MQLUA_REGEX_LIMIT)
        return mqlua_re_push_limit(L, 2);
    if (found != MQLUA_REGEX_NONE)
        set_start(L, 4, offsets);
    if (found == MQLUA_REGEX_NONE || offsets[2 * group] == SIZE_MAX) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushnumber(L, (lua_Number)offsets[2 * group] + 1);
    lua_pushnumber(L, (lua_Number)offsets[2 * group + 1]);
    return 2;
}

/* The iterator of gmatch. Upvalues: text (a string or a buffer, which may have died since), expression, where
 * to go on. */
static int l_gmatch_next(lua_State *L)
{
    const size_t *offsets;
    lua_settop(L, 0);
    lua_pushvalue(L, lua_upvalueindex(1));
    mqlua_re_call call = {.regex = lua_touserdata(L, lua_upvalueindex(2))};
    call.text = mqlua_bytes_check(L, 1, &call.size);
    size_t start = (size_t)lua_tonumber(L, lua_upvalueindex(3));
    int found = start > call.size ? MQLUA_REGEX_NONE
                                  : mqlua_regex_search(L, call.regex, call.text, call.size, start, &offsets);
    size_t next = found > 0 ? mqlua_regex_next(call.regex, call.text, call.size, offsets[0], offsets[1])
                            : call.size + 1;
    lua_pushnumber(L, (lua_Number)next);
    lua_replace(L, lua_upvalueindex(3));
    if (found == MQLUA_REGEX_LIMIT)
        return mqlua_re_push_limit(L, 1);
    if (found == MQLUA_REGEX_NONE)
        return 0;
    mqlua_re_push_groups(L, &call, offsets, 0);
    return 1;
}

/* gmatch(text, regex, options) */
static int l_gmatch(lua_State *L)
{
    lua_settop(L, 3);
    mqlua_re_begin(L, 3);
    lua_pushvalue(L, 1);
    lua_insert(L, -2);
    lua_pushnumber(L, 0);
    lua_pushcclosure(L, l_gmatch_next, 3);
    return 1;
}

void mqlua_re_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"match", l_match},      {"find", l_find},          {"gmatch", l_gmatch},       {"sub", mqlua_re_sub},
        {"gsub", mqlua_re_gsub}, {"split", mqlua_re_split}, {"set", mqlua_re_set_make}, {NULL, NULL},
    };
    mqlua_re_set_register(L);
    lua_createtable(L, 0, 8);
    mqlua_regexes_push(L);
    for (const luaL_Reg *function = functions; function->name; function++) {
        lua_pushvalue(L, -1);
        lua_pushcclosure(L, function->func, 1);
        lua_setfield(L, -3, function->name);
    }
    lua_pop(L, 1);
    lua_setfield(L, -2, "re");
}
