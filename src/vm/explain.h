/* SPDX-License-Identifier: MIT */
#pragma once

/* What an error object says. */

#include <lua.h>

/* The error object on top of the stack as a text, pushed on top of it: the text itself, what its __tostring
 * returns, or its type, where it has none or one that fails. A script may run for that: inside the limits
 * only. Raises where memory or the budget is at its end. */
const char *mqlua_explain(lua_State *L);
