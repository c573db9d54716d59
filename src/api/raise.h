/* SPDX-License-Identifier: MIT */
#pragma once

/* From error texts of C to errors of Lua. */

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

/* Raises "function: error" at the caller's line. error (malloc'ed; NULL: memory is out) is freed before, so
 * nothing leaks. Long texts are cut. Never returns; the int is for "return mqlua_raise(...)". */
static inline int mqlua_raise(lua_State *L, const char *function, char *error)
{
    char text[600];
    snprintf(text, sizeof text, "%s: %s", function, error ? error : "not enough memory");
    free(error);
    return luaL_error(L, "%s", text);
}
