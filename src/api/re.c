/* SPDX-License-Identifier: MIT */

#include "api/re.h"
#include "api/re_call.h"
#include "api/re_replace.h"
#include "api/re_set.h"
#include "vm/bytes.h"

/* The next search with this ctx begins behind the match. */
static void set_start(lua_State *L, int index, const size_t *offsets)
{
    if (lua_isnoneornil(L, index))
        return;
    lua_pushnumber(L, (lua_Number)offsets[1] + 1);
    lua_setfield(L, index, "pos");
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
