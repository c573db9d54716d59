/* SPDX-License-Identifier: MIT */
#pragma once

/* os.date as LuaJIT has it, with the names of days and months in English whatever the locale of the process:
 * dates in headers of mail are made with it. */

#include <lua.h>

/* Replaces os.date. Raises on lack of memory, or when there is no such function. */
void mqlua_date_open(lua_State *L);
