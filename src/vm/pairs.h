/* SPDX-License-Identifier: MIT */
#pragma once

#include <lua.h>

/* Replaces the global pairs by one that honours __pairs, which stock LuaJIT ignores on tables. Without a
 * __pairs it is what it was: it returns the original next, so that loops over plain tables keep their fast
 * path. The base library must be open. Raises on lack of memory. */
void mqlua_pairs_open(lua_State *L);
