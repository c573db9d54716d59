/* SPDX-License-Identifier: MIT */
#pragma once

/* Finds the Lua patterns that compiled functions give to find, match, gmatch and gsub as constants. */

#include "vm/calls.h"

typedef struct mqlua_call_pattern {
    const char *function; /* "find" */
    const char *text;     /* NUL-terminated */
    size_t size;
    const char *source; /* "@policy.lua" */
    int line;
} mqlua_call_pattern;

/* Tells visit about every text:find("...") and string.find(text, "...") in a compiled function (from
 * lua_dump) and in those inside of it, but not about those that may be plain. What it is given is good until
 * it returns; it must not raise. False on lack of memory, or when bytes are no bytecode. */
bool mqlua_call_patterns(mqlua_calls *calls, const void *bytes, size_t size,
                         void (*visit)(void *ud, const mqlua_call_pattern *pattern), void *ud);
