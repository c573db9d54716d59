/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Follows values through a compiled Lua function before it runs: which constants and which fields of its
 * parameters get to calls, assignments, comparisons and keys, through locals and whichever way is taken. A
 * value that can be one or another is unknown. What functions inside of it do is not looked at.
 *
 * Threads as in vm/calls.h.
 */

#include "vm/calls.h"

enum { MQLUA_FLOW_VALUES = 8 };

typedef struct mqlua_value {
    enum { MQLUA_VALUE_UNKNOWN, MQLUA_VALUE_TEXT, MQLUA_VALUE_NUMBER, MQLUA_VALUE_PLACE } type;
    const char *text; /* NUL-terminated: a text, or a place (mqlua_use) */
    size_t size;
    int number;
    bool tested; /* the function has a condition on it */
} mqlua_value;

typedef enum mqlua_use_what {
    MQLUA_USE_CALL,    /* place is called with values, of which there are count or more */
    MQLUA_USE_SET,     /* values[0] is assigned to it */
    MQLUA_USE_COMPARE, /* it is compared with values[0], by == or ~= */
    MQLUA_USE_KEY,     /* it is a key of a table */
} mqlua_use_what;

/* A place is what it was in the function's parameters (mqlua_flow_read), an upvalue ("^2", as for
 * lua_getupvalue) that no function assigns, or a global ("_G"), with fields behind it: "_G.mq.reject". */
typedef struct mqlua_use {
    mqlua_use_what what;
    const char *place;
    mqlua_value values[MQLUA_FLOW_VALUES];
    int count;
    const char *source; /* "@policy.lua" */
    int line;
} mqlua_use;

/* Learns which upvalues are assigned by the functions of a compiled file. False as mqlua_calls_read. */
bool mqlua_flow_learn(mqlua_calls *calls, const void *bytes, size_t size);

/* Tells visit about the uses in the Lua function on top of L's stack, in order. parameters are the first
 * count of its parameters: texts, numbers, or places by names of the caller's. What visit is given is good
 * until it returns; it must not raise. False on lack of memory, and for a C function. A function that is too
 * large to be followed has no uses. Does not raise. */
bool mqlua_flow_read(mqlua_calls *calls, lua_State *L, const mqlua_value *parameters, int count,
                     void (*visit)(void *ud, const mqlua_use *use), void *ud);
