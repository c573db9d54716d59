/* SPDX-License-Identifier: MIT */
#pragma once

/* Header fields of a MIME message, tolerant of bare LF, 8-bit bytes and a missing end. */

#include "vm/vm.h"

/* Pushes the value of the number-th field of that name (case-insensitive), unfolded and trimmed. False, and
 * nothing pushed, when there is none. Raises on lack of memory. */
bool mqlua_headers_push(lua_State *L, const char *mime, size_t size, const char *name, int number);

/* Pushes a list of {name =, value =} in order. */
void mqlua_headers_push_all(lua_State *L, const char *mime, size_t size);

/* Raises unless the value at index can be a message's MIME: a string or buffer with header fields and an
 * empty line. Lines that end with LF alone get their CR: the converted string takes the place at index. */
void mqlua_headers_check_mime(lua_State *L, int index);
