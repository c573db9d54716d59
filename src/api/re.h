/* SPDX-License-Identifier: MIT */
#pragma once

/* mq.re: regular expressions with the arguments and results of OpenResty's ngx.re. */

#include <lua.h>

/* Adds re to the table on top. Raises on lack of memory. */
void mqlua_re_open(lua_State *L);
