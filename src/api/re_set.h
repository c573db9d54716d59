/* SPDX-License-Identifier: MIT */
#pragma once

/* mq.re.set: many expressions that are asked together. */

#include <lua.h>

/* Makes the type known to the state. Raises on lack of memory. */
void mqlua_re_set_register(lua_State *L);

/* set(list, options): lua_CFunction whose first upvalue are the expressions of the state. */
int mqlua_re_set_make(lua_State *L);
