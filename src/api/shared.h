/* SPDX-License-Identifier: MIT */
#pragma once

/* mq.shared: dictionaries that all workers share, as Lua sees them. */

#include "api/env.h"

/* Makes what the policy of this state declared the capacities of its dictionaries: it is the one that serves
 * from now on. What cannot be had is logged. Any thread, while nobody else uses the state. */
void mqlua_shared_settle(mqlua_env *env);

/* Lets go of what the state declared, when it ends. */
void mqlua_shared_close(mqlua_env *env);

/* Adds the function to the table mq on top of the stack. May raise. */
void mqlua_shared_open(lua_State *L);
