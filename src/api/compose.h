/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * MIME that a policy writes. MQ_setMime takes whole messages with CRLF at the end of each line, and other
 * mail software reads a NUL or a CR without LF in its own way each: such bytes become blanks. All functions
 * are to be called from the thread of the vm, and yield never.
 */

#include "vm/vm.h"

/* Whether a message has a field in its header. */
bool mqlua_compose_has_fields(const char *mime, size_t size);

/* Makes the value at index what a message's MIME must be. LF gets its CR; NUL, and CR without LF, become
 * blanks; an empty line is added where there is none behind the header. A buffer takes the place at index
 * when something had to be changed. Raises unless the value is a string or a buffer with header fields
 * (without any where headless), and on lack of memory. */
void mqlua_compose_check(lua_State *L, int index, bool headless);

/* For lua_pushcfunction: (mime, name, value, drop) returns mime as a buffer, with a field of that name and
 * value, a text of mqlua_header_text, folded at the end of the header. drop: all other fields of that name
 * are left out. Raises as luaL_check* do, and on lack of memory. */
int mqlua_compose_l_add_field(lua_State *L);
