/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Reads compiled Lua functions to see, before they run, what becomes of the results of calls such as
 * `mq.reject(...)`: calls of a field of one global table (or of an outer local of the same name). What is
 * called through another name is not seen, and a call that is never reached is.
 *
 * The bytecode is read with LuaJIT's own jit.util, in a vm of the reader; the opcodes are learnt from
 * examples that this LuaJIT compiles, so that no number of one version of it is written down here. Any
 * thread, one at a time.
 */

#include "vm/vm.h"

typedef enum mqlua_call_use {
    MQLUA_CALL_DROPPED,  /* a statement of its own: the result is lost */
    MQLUA_CALL_RETURNED, /* the function returns it, and nothing else with it */
    MQLUA_CALL_USED,     /* anything else */
} mqlua_call_use;

typedef struct mqlua_call {
    const char *name; /* of the field; NULL: no call, an upvalue is returned (not by inner functions) */
    int upvalue;      /* its number, from 1, as for lua_getupvalue; 0 for a call */
    mqlua_call_use use;
    bool inner;         /* in a function that is written inside the one that is read */
    const char *source; /* "@policy.lua" */
    int line;
} mqlua_call;

typedef struct mqlua_calls mqlua_calls;

/* A reader of calls of the fields of table. NULL on lack of memory, or when this LuaJIT's bytecode is not
 * understood. */
mqlua_calls *mqlua_calls_new(const char *table);
void mqlua_calls_free(mqlua_calls *calls);

/* Tells visit about every call in a compiled function (from lua_dump) and in those inside of it, in order
 * within each. What it is given is good until it returns; it must not raise. False on lack of memory, or when
 * bytes are no bytecode. */
bool mqlua_calls_read(mqlua_calls *calls, const void *bytes, size_t size,
                      void (*visit)(void *ud, const mqlua_call *call), void *ud);

/* The same for the Lua function on top of the stack of another state, which stays there. False for a C
 * function, too. Does not raise. */
bool mqlua_calls_read_function(mqlua_calls *calls, lua_State *L,
                               void (*visit)(void *ud, const mqlua_call *call), void *ud);
