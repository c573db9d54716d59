/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The one way in which a function of the library waits: for a result, for at most some time, until the task
 * is cancelled. Everything that waits is built on it: mq.sleep, mq.wait, mq.with_timeout, mq.password.verify.
 *
 *   1. mqlua_await_check, before anything is acquired;
 *   2. acquire, with a struct that begins with a mqlua_await;
 *   3. mqlua_await_start;
 *   4. return mqlua_await_park.
 *
 * From 3 on, release is called exactly once, with the timer stopped: after the results were pushed, or
 * because the task ended first. It may free the struct. Between 3 and 4 nothing may raise.
 *
 * Thread: the worker's.
 */

#include "api/env.h"

typedef struct mqlua_await mqlua_await;

typedef struct mqlua_await_kind {
    /* Pushes what the waiting function returns and says how many; mqlua_await_of gives the await. May raise.
     * NULL: nothing is returned. */
    lua_CFunction push;
    /* Lets go of everything. cancelled: the task ended first; the result may still be under way, and must not
     * be delivered to mqlua_await_wake any more. */
    void (*release)(mqlua_await *await, bool cancelled);
} mqlua_await_kind;

struct mqlua_await {
    mqlua_wait wait; /* first */
    mqlua_timer timer;
    mqlua_loop *loop;
    const mqlua_await_kind *kind;
    bool timed_out; /* the time was over before mqlua_await_wake; for push */
};

/* Raises unless function ("mq.sleep") may wait here. */
mqlua_env *mqlua_await_check(lua_State *L, const char *function);

/* Zeroed memory becomes a wait of at most so many seconds; below 0: for any time. False when no timer can be
 * had: the caller still owns everything. kind is static. */
bool mqlua_await_start(mqlua_await *await, mqlua_loop *loop, double seconds, const mqlua_await_kind *kind);

/* The last thing that a waiting C function does. */
int mqlua_await_park(lua_State *L, mqlua_await *await);

/* The result is there: the task goes on soon. The second time, and after the time was over, it does nothing.
 */
void mqlua_await_wake(mqlua_await *await);

/* What a task waits for; NULL: it does not wait. */
const mqlua_await_kind *mqlua_await_kind_of(const mqlua_task *task);

/* For push: the await that it is about. */
static inline mqlua_await *mqlua_await_of(lua_State *L)
{
    return lua_touserdata(L, 1);
}
