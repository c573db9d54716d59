/* SPDX-License-Identifier: MIT */
#pragma once

/* What lua/mq/core/limits.lua is built on: steps on a dictionary that must be one. */

#include <lua.h>

/* Pushes a table of functions. May raise. */
void mqlua_limits_push(lua_State *L);
