/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Lua patterns as in LuaJIT 2.1 (results and messages are the same), with two differences: each step is
 * charged to the run-time budget, so that no search outlives it, and the subject may be a buffer.
 *
 * Differences on purpose: a start or a count that does not fit in an int is clamped instead of wrapped,
 * and a gsub whose callbacks nest until the thread's stack is nearly used up raises instead of crashing.
 */

#include <lua.h>

/* Replaces find, match, gmatch, gfind and gsub in the global table string. Raises on lack of memory, or
 * when there is no such table. */
void mqlua_pattern_open(lua_State *L);

/* The functions themselves, as methods of types that wrap bytes. They raise as Lua's do, and when the
 * run-time budget is spent; they never yield, and neither can a function that gsub calls. */
int mqlua_pattern_find(lua_State *L);
int mqlua_pattern_match(lua_State *L);
int mqlua_pattern_gmatch(lua_State *L);
int mqlua_pattern_gsub(lua_State *L);
