/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Functions of Lua's libraries that may run long in one call, where the count hook cannot reach: here they
 * charge their work to the run-time budget. Results and messages are those of LuaJIT 2.1. Replaced are
 * string.rep, lower, upper, reverse and format, table.insert, concat and sort, load, loadstring and
 * collectgarbage; and coroutine.resume, which raises where nesting would overrun the stack of the thread
 * (coroutine.wrap is made from it in coroutine.c). The others either run as byte code in LuaJIT
 * (table.remove, foreach) or are bounded by the size of the Lua stack (unpack, string.byte). A string.rep
 * whose count does not fit in an int is out of memory here, and an empty string in LuaJIT.
 */

#include <lua.h>

/* Replaces the functions in the global tables. Raises on lack of memory, or when a library is missing. */
void mqlua_heavy_open(lua_State *L);

/* string.lower, rep, reverse and upper, for a string or buffer at 1. Raise as Lua's, and when the budget is
 * spent.
 */
int mqlua_heavy_lower(lua_State *L);
int mqlua_heavy_rep(lua_State *L);
int mqlua_heavy_reverse(lua_State *L);
int mqlua_heavy_upper(lua_State *L);
