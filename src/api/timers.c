/* SPDX-License-Identifier: MIT */

#include "api/timers.h"
#include "base/list.h"
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
    int anchor;                   /* until it is stopped and its task has ended: nobody else may know it */
    mqlua_piece piece;            /* it is due, and its turn has not come */
    LIST_ENTRY(mqlua_clock) link; /* env->once or env->repeating */
} mqlua_clock;

/* Timers that are stopped in a row before anything else has its turn. */
enum { STOP_BATCH = 1000 };

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
    mqlua_piece_remove(&clock->piece);
    LIST_REMOVE(clock, link);
    mqlua_refs_drop(clock->env->vm, clock->function);
    let_go(clock);
}

static void clock_fired(mqlua_timer *timer);

static void clock_start(mqlua_clock *clock)
{
    if ((clock->per_process && !clock->env->first_worker) || (clock->repeats && clock->env->replaced))
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

static void clock_run(mqlua_piece *piece)
{
    mqlua_clock *clock = (mqlua_clock *)(void *)((char *)piece - offsetof(mqlua_clock, piece));
    mqlua_vm *vm = clock->env->vm;
    if (clock->repeats && clock->env->replaced)
        return; /* it is about to be stopped */
    clock->running = true;
    mqlua_task_start(vm, mqlua_task_lane(vm), clock->function, 0, clock_ended, clock);
}

static void clock_fired(mqlua_timer *timer)
{
    mqlua_clock *clock = (mqlua_clock *)(void *)((char *)timer - offsetof(mqlua_clock, timer));
    mqlua_lane_add(mqlua_task_lane(clock->env->vm), &clock->piece);
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
    clock->piece.run = clock_run;
    LIST_INSERT_HEAD(repeats ? &env->repeating : &env->once, clock, link);
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

static void start_all(mqlua_clocks *clocks)
{
    mqlua_clock *clock;
    LIST_FOREACH(clock, clocks, link)
    {
        if (!clock->timer.place && !clock->piece.lane && !clock->running)
            clock_start(clock);
    }
}

void mqlua_timers_start(mqlua_env *env)
{
    start_all(&env->once);
    start_all(&env->repeating);
}

static bool stop_some(mqlua_clocks *clocks, int *left)
{
    for (mqlua_clock *clock; (clock = LIST_FIRST(clocks)); --*left) {
        if (!*left)
            return false;
        clock_stop(clock);
    }
    return true;
}

bool mqlua_timers_stop_some(mqlua_env *env, bool once)
{
    int left = STOP_BATCH;
    return stop_some(&env->repeating, &left) && (!once || stop_some(&env->once, &left));
}

bool mqlua_timers_any(const mqlua_env *env)
{
    return !LIST_EMPTY(&env->once) || !LIST_EMPTY(&env->repeating);
}

void mqlua_timers_stop(mqlua_env *env)
{
    while (!mqlua_timers_stop_some(env, true))
        continue;
}

void mqlua_timers_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"after", l_after}, {"every", l_every}, {NULL, NULL}};
    mqlua_object_register(L, &clock_type);
    luaL_register(L, NULL, functions);
}
