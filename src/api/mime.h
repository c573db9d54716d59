/* SPDX-License-Identifier: MIT */
#pragma once

/* What lua/mq/core/mime.lua is built on: work on the bytes of a mail, given as a string or buffer and two
 * offsets from 0. Offsets beyond the end are cut. */

#include <lua.h>

/* Pushes a table of functions. May raise. */
void mqlua_mime_push(lua_State *L);

/* mime_fields.c: adds its functions to the table on top. May raise. */
void mqlua_mime_push_fields(lua_State *L);
