/* SPDX-License-Identifier: MIT */
#pragma once

/* What scripts can do with a buffer: its methods, which are those of strings. */

#include <lua.h>

/* Registers the type "buffer" (vm/bytes.h) in this state; must come before the first push. Raises on lack of
 * memory. */
void mqlua_buffer_open(lua_State *L);
