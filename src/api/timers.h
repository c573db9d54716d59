/* SPDX-License-Identifier: MIT */
#pragma once

/* mq.after and mq.every: functions that run later, as tasks of the state that made them. */

#include "api/env.h"

/* Starts the timers that were asked for while the policy loaded: the state is adopted. */
void mqlua_timers_start(mqlua_env *env);

/* Stops what mq.every started: the next generation has its own. */
void mqlua_timers_stop_repeating(mqlua_env *env);

/* Stops every timer; before the vm is freed. */
void mqlua_timers_stop(mqlua_env *env);

/* Adds the functions to the table mq on top of the stack. May raise. */
void mqlua_timers_open(lua_State *L);
