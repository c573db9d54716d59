/* SPDX-License-Identifier: MIT */
#pragma once

#include <lua.h>

/* Adds base64, base64url, hex, quoted_printable and url to the table on top. Raises on lack of memory. */
void mqlua_encodings_open(lua_State *L);
