/* SPDX-License-Identifier: MIT */
#pragma once

/* What an error object says. */

#include <lua.h>

/* The error object on top of the stack as a text without NUL bytes, pushed on top of it: the text itself,
 * what its __tostring returns, or its type, where it has none or one that fails. A script may run for that:
 * inside the limits only. Raises where memory or the budget is at its end. */
const char *mqlua_explain(lua_State *L);

/* Puts a string without NUL bytes, which end a C string, in place of the string or number at index: blanks
 * are in their place. What it returns lives as long as that. Raises on lack of memory. */
const char *mqlua_explain_line(lua_State *L, int index);
