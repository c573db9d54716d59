/* SPDX-License-Identifier: MIT */
#include "vm/explain.h"
#include "vm/stack.h"
#include <lauxlib.h>
#include <string.h>

/* nil where it returns no text. */
static int call_tostring(lua_State *L)
{
    mqlua_stack_check(L);
    if (!luaL_callmeta(L, 1, "__tostring") || lua_type(L, -1) != LUA_TSTRING)
        lua_pushnil(L);
    return 1;
}

const char *mqlua_explain_line(lua_State *L, int index)
{
    size_t size;
    const char *text = lua_tolstring(L, index, &size);
    if (!memchr(text, 0, size))
        return text;
    index = index > 0 ? index : lua_gettop(L) + 1 + index;
    char *line = lua_newuserdata(L, size);
    for (size_t i = 0; i < size; i++)
        line[i] = text[i] ? text[i] : ' ';
    lua_pushlstring(L, line, size);
    lua_replace(L, index);
    lua_pop(L, 1);
    return lua_tostring(L, index);
}

const char *mqlua_explain(lua_State *L)
{
    int object = lua_gettop(L);
    if (lua_isstring(L, object)) {
        lua_pushvalue(L, object);
        return mqlua_explain_line(L, -1);
    }
    lua_pushcfunction(L, call_tostring);
    lua_pushvalue(L, object);
    if (lua_pcall(L, 1, 1, 0) || lua_type(L, -1) != LUA_TSTRING) {
        lua_pop(L, 1);
        lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, object));
    }
    return mqlua_explain_line(L, -1);
}
