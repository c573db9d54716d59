/* SPDX-License-Identifier: MIT */

#include "api/await.h"
#include <stddef.h>

mqlua_env *mqlua_await_check(lua_State *L, const char *function)
{
    mqlua_env *env = mqlua_env_of(L);
    mqlua_task_check(L, function);
    if (!env->loop)
        luaL_error(
            L,
            "%s is not available here: 'initialize' and 'cleanup' run before and after the workers; use it "
            "in the event itself or in 'context_initialize'",
            function);
    return env;
}

static void over(mqlua_wait *wait, bool cancelled)
{
    mqlua_await *await = (mqlua_await *)wait;
    mqlua_loop_stop(await->loop, &await->timer);
    await->kind->release(await, cancelled);
}

static void cancelled(mqlua_wait *wait)
{
    over(wait, true);
}

static void delivered(mqlua_wait *wait)
{
    over(wait, false);
}

static void time_over(mqlua_timer *timer)
{
    mqlua_await *await = (mqlua_await *)(void *)((char *)timer - offsetof(mqlua_await, timer));
    await->timed_out = true;
    mqlua_task_wake(&await->wait);
}

bool mqlua_await_start(mqlua_await *await, mqlua_loop *loop, double seconds, const mqlua_await_kind *kind)
{
    await->loop = loop;
    await->kind = kind;
    await->wait = (mqlua_wait){.push = kind->push, .cancel = cancelled, .done = delivered};
    return seconds < 0 || mqlua_loop_start(loop, &await->timer, seconds, time_over);
}

int mqlua_await_park(lua_State *L, mqlua_await *await)
{
    return mqlua_task_park(L, &await->wait);
}

void mqlua_await_wake(mqlua_await *await)
{
    if (await->timed_out)
        return;
    mqlua_loop_stop(await->loop, &await->timer);
    mqlua_task_wake(&await->wait);
}

const mqlua_await_kind *mqlua_await_kind_of(const mqlua_task *task)
{
    const mqlua_wait *wait = mqlua_task_waits_on(task);
    return wait && wait->cancel == cancelled ? ((const mqlua_await *)wait)->kind : NULL;
}
