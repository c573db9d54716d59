/* SPDX-License-Identifier: MIT */
#pragma once

/* Header fields of a MIME message for scripts. What they are, and where they end: base/header.h. */

#include "base/header.h"
#include "vm/vm.h"

/* Pushes the value of the number-th field of that name (case-insensitive), unfolded and trimmed. False, and
 * nothing pushed, when there is none. Raises on lack of memory. */
bool mqlua_headers_push(lua_State *L, const char *mime, size_t size, const char *name, int number);

/* Pushes a list of {name =, value =} in order. */
void mqlua_headers_push_all(lua_State *L, const char *mime, size_t size);

/* Pushes the value of one field, unfolded and trimmed. Changes what field says of the value. */
void mqlua_headers_push_value(lua_State *L, mqlua_header_field *field);
