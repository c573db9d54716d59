/* SPDX-License-Identifier: MIT */

#include "api/re_call.h"
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
