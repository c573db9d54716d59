/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How much of the thread's stack is left. LuaJIT does not count nested calls from C into Lua (a gsub whose
 * callback calls gsub, a sort in a comparator, a coroutine that resumes a coroutine): a script that nests
 * them overruns the stack of the thread. C functions that call back into Lua ask here first.
 */

#include <lua.h>

/* Raises "stack overflow" when less than 64 KB of the calling thread's stack are left. Does nothing where the
 * stack is not known. May raise on lack of memory too. Cheap after the first call of a thread. */
void mqlua_stack_check(lua_State *L);
