/* SPDX-License-Identifier: MIT */

#include "api/generation.h"
#include "api/env.h"
#include <string.h>

/* A table that is read only for scripts: { number =, hash =, carried = } behind a proxy. */

static const char values_key;

static void push_values(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)&values_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
}

static int l_index(lua_State *L)
{
    mqlua_env *env = mqlua_env_of(L);
    const char *key = luaL_checkstring(L, 2);
    if (strcmp(key, "hash") == 0) {
        lua_pushstring(L, mqlua_bundle_hash(env->bundle));
        return 1;
    }
    push_values(L);
    lua_pushvalue(L, 2);
    lua_rawget(L, -2);
    return 1;
}

static int l_newindex(lua_State *L)
{
    return luaL_error(L, "mq.generation cannot be assigned");
}

void mqlua_generation_open(lua_State *L)
{
    lua_newtable(L); /* the proxy */
    lua_createtable(L, 0, 3);
    lua_pushcfunction(L, l_index);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, l_newindex);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_setfield(L, -2, "generation");
    lua_pushlightuserdata(L, (void *)&values_key);
    lua_createtable(L, 0, 3);
    lua_pushnumber(L, (lua_Number)mqlua_env_of(L)->generation);
    lua_setfield(L, -2, "number");
    lua_rawset(L, LUA_REGISTRYINDEX);
}

void mqlua_generation_set_carried(lua_State *L)
{
    push_values(L);
    lua_insert(L, -2);
    lua_setfield(L, -2, "carried");
    lua_pop(L, 1);
}
