/* SPDX-License-Identifier: MIT */
#pragma once

/* mq.re.sub, gsub and split: lua_CFunctions whose first upvalue are the expressions of the state. */

#include <lua.h>

int mqlua_re_sub(lua_State *L);
int mqlua_re_gsub(lua_State *L);
int mqlua_re_split(lua_State *L);
