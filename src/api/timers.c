/* SPDX-License-Identifier: MIT */

#include "api/timers.h"
#include "api/report.h"
#include "api/tasks.h"
#include "vm/object.h"
#include "vm/refs.h"
#include "vm/stack.h"

typedef struct mqlua_clock {
    mqlua_object object;
    mqlua_env *env;
    mqlua_timer timer;
    double seconds;
    bool repeats, per_process, stopped;
    bool running; /* its task */
    int function;
    int anchor; /* until it is stopped and its task has ended: nobody else may know it */
    struct mqlua_clock *next, **back; /* env->clocks */
} mqlua_clock;

static const mqlua_type clock_type;

/* It may be gone afterwards. */
static void let_go(mqlua_clock *clock)
{
    if (clock->stopped && !clock->running)
        mqlua_refs_drop(clock->env->vm, clock->anchor);
}

static void clock_stop(mqlua_clock *clock)
{
    if (clock->stopped)
        return;
    clock->stopped = true;
    if (clock->timer.place) /* else the loop may be another thread's */
        mqlua_loop_stop(clock->env->loop, &clock->timer);
    *clock->back = clock->next;
    if (clock->next)
        clock->next->back = clock->back;
    mqlua_refs_drop(clock->env->vm, clock->function);
    let_go(clock);
}

static void clock_fired(mqlua_timer *timer);

static void clock_start(mqlua_clock *clock)
{
    if (clock->per_process && !clock->env->first_worker)
        return;
    if (!mqlua_loop_start(clock->env->loop, &clock->timer, clock->seconds, clock_fired))
        mqlua_report(clock->env, "a timer cannot be had", "mq.after or mq.every will not run");
}

static void clock_ended(mqlua_task *task, const mqlua_end *end, void *ud)
{
    mqlua_clock *clock = ud;
    clock->running = false;
    if (end->outcome == MQLUA_FAILED)
        mqlua_report(clock->env,
                     clock->repeats ? "a function of mq.every failed" : "a function of mq.after failed",
                     end->error);
    if (clock->stopped)
        let_go(clock);
    else if (clock->repeats && end->outcome != MQLUA_CANCELLED)
        clock_start(clock); /* counted from the end of the last run: runs never overlap */
    else
        clock_stop(clock);
}

static int l_no_arguments(lua_State *L)
{
    return 0;
}

static void clock_fired(mqlua_timer *timer)
{
    mqlua_clock *clock = (mqlua_clock *)((char *)timer - offsetof(mqlua_clock, timer));
    clock->running = true;
    mqlua_task_start(clock->env->vm, clock->function, clock->env->no_arguments, clock_ended, clock);
}

static bool is_per_process(lua_State *L, int options)
{
    static const char *const scopes[] = {"worker", "process", NULL};
    if (!lua_istable(L, options))
        return false;
    mqlua_stack_check(L); /* __index */
    lua_getfield(L, options, "scope");
    return luaL_checkoption(L, lua_gettop(L), "worker", scopes) == 1;
}

static int make_clock(lua_State *L, const char *name, bool repeats)
{
    double seconds = mqlua_tasks_check_seconds(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    bool per_process = repeats && is_per_process(L, 3);
    mqlua_env *env = mqlua_tasks_check_loop(L, name);
    env->outlives = true;
    mqlua_clock *clock = mqlua_object_push(L, &clock_type, sizeof *clock, NULL);
    clock->env = env;
    clock->seconds = seconds;
    clock->repeats = repeats;
    clock->per_process = per_process;
    lua_pushvalue(L, 2);
    clock->function = mqlua_refs_add(L);
    lua_pushvalue(L, -1);
    clock->anchor = mqlua_refs_add(L);
    clock->back = &env->clocks;
    clock->next = env->clocks;
    if (clock->next)
        clock->next->back = &clock->next;
    env->clocks = clock;
    if (env->phase == MQLUA_SERVING)
        clock_start(clock);
    return 1;
}

static int l_after(lua_State *L)
{
    return make_clock(L, "mq.after", false);
}

static int l_every(lua_State *L)
{
    luaL_argcheck(L, luaL_checknumber(L, 1) > 0, 1, "must be more than 0 seconds");
    return make_clock(L, "mq.every", true);
}

static int l_clock_cancel(lua_State *L)
{
    mqlua_clock *clock = mqlua_object_check(L, 1, &clock_type);
    clock_stop(clock);
    return 0;
}

static const luaL_Reg clock_methods[] = {{"cancel", l_clock_cancel}, {NULL, NULL}};
static const mqlua_type clock_type = {.name = "timer", .methods = clock_methods};

void mqlua_timers_start(mqlua_env *env)
{
    for (mqlua_clock *clock = env->clocks; clock; clock = clock->next)
        if (!clock->timer.place && !clock->running)
            clock_start(clock);
}

void mqlua_timers_stop_repeating(mqlua_env *env)
{
    for (mqlua_clock *clock = env->clocks, *next; clock; clock = next) {
        next = clock->next;
        if (clock->repeats)
            clock_stop(clock);
    }
}

void mqlua_timers_stop(mqlua_env *env)
{
    while (env->clocks)
        clock_stop(env->clocks);
}

void mqlua_timers_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"after", l_after}, {"every", l_every}, {NULL, NULL}};
    mqlua_object_register(L, &clock_type);
    luaL_register(L, NULL, functions);
    lua_pushcfunction(L, l_no_arguments);
    mqlua_env_of(L)->no_arguments = mqlua_refs_add(L);
}
