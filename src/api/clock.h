/* SPDX-License-Identifier: MIT */
#pragma once

#include <lua.h>

/* Adds mq.now (seconds since 1970, with fractions) and mq.monotonic (seconds since some moment, never set
 * back) to the table on top. May raise. */
void mqlua_clock_open(lua_State *L);
