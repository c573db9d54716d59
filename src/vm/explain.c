/* SPDX-License-Identifier: MIT */
#include "vm/explain.h"
#include "vm/stack.h"
#include <lauxlib.h>

/* nil where it returns no text. */
static int call_tostring(lua_State *L)
{
    mqlua_stack_check(L);
    if (!luaL_callmeta(L, 1, "__tostring") || lua_type(L, -1) != LUA_TSTRING)
        lua_pushnil(L);
    return 1;
}

const char *mqlua_explain(lua_State *L)
{
    int object = lua_gettop(L);
    if (lua_isstring(L, object)) {
        lua_pushvalue(L, object);
        return lua_tostring(L, -1);
    }
    lua_pushcfunction(L, call_tostring);
    lua_pushvalue(L, object);
    if (lua_pcall(L, 1, 1, 0) || lua_type(L, -1) != LUA_TSTRING) {
        lua_pop(L, 1);
        lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, object));
    }
    return lua_tostring(L, -1);
}
