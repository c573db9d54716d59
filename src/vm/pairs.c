/* SPDX-License-Identifier: MIT */

#include "vm/pairs.h"
#include "vm/stack.h"

#include <lauxlib.h>

/* Upvalues: the original next and pairs. */
static int l_pairs(lua_State *L)
{
    luaL_checkany(L, 1);
    if (lua_istable(L, 1) || lua_isuserdata(L, 1)) {
        if (luaL_getmetafield(L, 1, "__pairs")) {
            mqlua_stack_check(L);
            lua_pushvalue(L, 1);
            lua_call(L, 1, 3);
            return 3;
        }
        if (lua_istable(L, 1)) {
            lua_pushvalue(L, lua_upvalueindex(1));
            lua_pushvalue(L, 1);
            lua_pushnil(L);
            return 3;
        }
    }
    /* Numbers, strings and the like raise, cdata may have something of its own. */
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_pushvalue(L, 1);
    lua_call(L, 1, 3);
    return 3;
}

void mqlua_pairs_open(lua_State *L)
{
    lua_getglobal(L, "next");
    lua_getglobal(L, "pairs");
    lua_pushcclosure(L, l_pairs, 2);
    lua_setglobal(L, "pairs");
}
