/* SPDX-License-Identifier: MIT */
#pragma once

#include <lua.h>

/* Adds mq.generation (number, hash, carried) to the table mq on top of the stack. May raise. */
void mqlua_generation_open(lua_State *L);

/* Puts the value on top of the stack into mq.generation.carried and pops it. May raise. */
void mqlua_generation_set_carried(lua_State *L);
