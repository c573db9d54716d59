/* SPDX-License-Identifier: MIT */
#pragma once

/* Tables of options that functions of the library take as their last argument. */

#include "vm/object.h"
#include <lauxlib.h>
#include <stdbool.h>
#include <string.h>

/* Whether the optional table at index has the only option that function ("mq.hash.sha256") knows. Raises for
 * what is no table, for another option, and for a value that is no boolean. */
static inline bool mqlua_option_flag(lua_State *L, int index, const char *function, const char *name)
{
    bool set = false;
    if (lua_isnoneornil(L, index))
        return false;
    luaL_checktype(L, index, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        const char *key = mqlua_object_name(L, -2);
        if (strcmp(key, name) != 0)
            luaL_error(L, "%s has no option '%s': it knows '%s'", function, key, name);
        if (!lua_isboolean(L, -1))
            luaL_error(L, "%s: the option '%s' must be true or false", function, name);
        set = lua_toboolean(L, -1);
    }
    return set;
}
