/* SPDX-License-Identifier: MIT */
#pragma once

/* What handlers get. */

#include "plugin/run_internal.h"

/* Events whose handlers get more than objects that stay: it is made for each of them; and of these, those
 * after which something is left of it. */
enum {
    MQLUA_ARGUMENTS_KEPT =
        MQLUA_BIT(MQLUA_IN_AUTHENTICATE) | MQLUA_BIT(MQLUA_IN_RCPTTO) | MQLUA_BIT(MQLUA_IN_DATA),
    MQLUA_ARGUMENTS_MADE = MQLUA_ARGUMENTS_KEPT | MQLUA_BIT(MQLUA_IN_MAILFROM),
};

/* Pushes what a handler gets; lua_CFunction that runs inside the task. */
int mqlua_arguments_push(lua_State *L);
/* The same when each of them was pushed before: registry references to them, and how many. 0: no. */
static inline int mqlua_arguments_ready(const mqlua_run *run, int arguments[2])
{
    arguments[0] = run->peer ? run->peer->connection.object : run->own.object;
    if (run->stage == MQLUA_RUN_ON_ERROR || arguments[0] == LUA_NOREF)
        return 0;
    if (run->has_message)
        return (arguments[1] = run->message.object) == LUA_NOREF ? 0 : 2;
    return !(MQLUA_BIT(run->event) & MQLUA_ARGUMENTS_MADE);
}
/* Before the callback returns true: copies what ends with it. False: no memory. */
bool mqlua_arguments_keep(mqlua_run *run);
/* After an event of MQLUA_ARGUMENTS_KEPT. */
void mqlua_arguments_free(mqlua_run *run);
