/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How much of the thread's stack is left. LuaJIT does not count nested calls from C into Lua (a gsub whose
 * callback calls gsub, a sort in a comparator, a coroutine that resumes a coroutine): a script that nests
 * them overruns the stack of the thread. C functions that call back into Lua ask here first.
 */

#include <lua.h>

/* What a callback may use before the next question: the functions between two of them, raising an error, a
 * look at the budget with a full collection. Frames are three times as large where AddressSanitizer guards
 * them. */
enum {
#ifdef __SANITIZE_ADDRESS__
    MQLUA_STACK_FACTOR = 3,
#else
    MQLUA_STACK_FACTOR = 1,
#endif
    MQLUA_STACK_SPARE = MQLUA_STACK_FACTOR * 48 * 1024,
    MQLUA_STACK_PARSER = 48 * 1024, /* more: LuaJIT's parser, which nests 200 deep. It is never sanitized */
};

/* Raises "stack overflow" when less than MQLUA_STACK_SPARE bytes of the calling thread's stack are left. Does
 * nothing where the stack is not known. May raise on lack of memory too. Cheap after the first call of a
 * thread. */
void mqlua_stack_check(lua_State *L);

/* The same for so many bytes more. */
void mqlua_stack_check_for(lua_State *L, size_t more);
