/* SPDX-License-Identifier: MIT */
#pragma once

/* mq.file, mq.set, mq.map: the data files of a policy as Lua sees them. */

#include <lua.h>

/* Adds the functions to the table mq on top of the stack. May raise. */
void mqlua_data_open(lua_State *L);
