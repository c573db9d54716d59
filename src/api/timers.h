/* SPDX-License-Identifier: MIT */
#pragma once

/* mq.after and mq.every: functions that run later, as tasks of the state that made them. */

#include "api/env.h"

/* Starts the timers that were asked for while the policy loaded: the state is adopted. */
void mqlua_timers_start(mqlua_env *env);

/* Stops some timers: those of mq.every, which the next generation has itself, and then, once, those of
 * mq.after. True when none is left: a policy can make any number of them, and this is called turn after turn.
 * From the moment that env->replaced is set no function of mq.every begins. */
bool mqlua_timers_stop_some(mqlua_env *env, bool once);

/* Whether there are timers that were not stopped. */
bool mqlua_timers_any(const mqlua_env *env);

/* Stops every timer; before the vm is freed. */
void mqlua_timers_stop(mqlua_env *env);

/* Adds the functions to the table mq on top of the stack. May raise. */
void mqlua_timers_open(lua_State *L);
