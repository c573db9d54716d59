/* SPDX-License-Identifier: MIT */
#pragma once

/* mq.sleep, mq.spawn, mq.wait, mq.defer: tasks and the loop put together. */

#include "api/env.h"

/* Spawns the function at index as a child of parent (NULL: of nobody), in lane (NULL: that of the running
 * task), and pushes its handle, which is kept alive while the task runs. Raises where tasks cannot be
 * (checks, set-up without a loop) and on lack of memory. */
void mqlua_tasks_push_job(lua_State *L, int index, mqlua_lane *lane, mqlua_task *parent);

/* For functions that wait: the number of seconds at index, and the env of a state with a loop; function is
 * the name for the message. Both raise. */
double mqlua_tasks_check_seconds(lua_State *L, int index);
mqlua_env *mqlua_tasks_check_loop(lua_State *L, const char *function);

/* Does the task wait for time to pass, and for nobody else? */
bool mqlua_tasks_sleeps(const mqlua_task *task);

/* Adds the functions to the table mq on top of the stack. May raise. */
void mqlua_tasks_open(lua_State *L);
