/* SPDX-License-Identifier: MIT */
#pragma once

#include "api/env.h"

/* Makes the library in a fresh vm whose owner is its mqlua_env: the global mq and its Lua half. lua_CFunction
 * for mqlua_vm_setup; raises. */
int mqlua_api_open(lua_State *L);

/* Closes what the library holds in C for env (timers), before its vm is freed. */
void mqlua_api_close(mqlua_env *env);
