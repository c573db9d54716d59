/* SPDX-License-Identifier: MIT */
#pragma once

/* Text of a header field that a policy adds. Called from the thread of the vm; nothing yields. */

#include <lua.h>

/* For lua_pushcfunction: (value) returns the value, a string, buffer or address, as it may stand in a header,
 * in one line. Control bytes become blanks, and those at both ends are left out. From the first to the last
 * word that is not ASCII, or too long for any line, there are encoded words of UTF-8 (RFC 2047) with blanks
 * between them; bytes that are no UTF-8 are U+FFFD in them. Raises for a value of another type, and on lack
 * of memory. */
int mqlua_header_text_l_encode(lua_State *L);
