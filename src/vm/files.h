/* SPDX-License-Identifier: MIT */
#pragma once

#include <lua.h>

/* Puts functions around io.open, io.lines, io.input and io.output that refuse what is no regular file: a pipe
 * or a device may block the thread, or never come to an end, where no limit reaches. io must be open. May
 * raise. */
void mqlua_files_open(lua_State *L);
