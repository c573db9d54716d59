/* SPDX-License-Identifier: MIT */
#pragma once

#include <lua.h>

/* Adds random and uuid to the table on top. Raises on lack of memory. */
void mqlua_random_open(lua_State *L);
