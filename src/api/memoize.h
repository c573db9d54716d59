/* SPDX-License-Identifier: MIT */
#pragma once

/* What lua/mq/core/memoize.lua is built on. */

#include <lua.h>

/* Pushes a table of functions. May raise. */
void mqlua_memoize_push(lua_State *L);
