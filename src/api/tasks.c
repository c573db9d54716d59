/* SPDX-License-Identifier: MIT */

#include "api/tasks.h"
#include "api/report.h"
#include "vm/object.h"
#include <math.h>
#include <stdlib.h>

static const double LONGEST_WAIT = 366 * 86400.0; /* seconds; longer is surely a mistake */

static double check_seconds(lua_State *L, int index)
{
    double seconds = luaL_checknumber(L, index);
    luaL_argcheck(L, seconds >= 0 && seconds <= LONGEST_WAIT, index, "must be seconds, 0 or more");
    return seconds;
}

static mqlua_env *check_loop(lua_State *L, const char *function)
{
    mqlua_env *env = mqlua_env_of(L);
    if (!env->loop)
        luaL_error(L, "%s is not available here: 'initialize' and 'cleanup' run before and after the workers; use "
                      "it in the event itself or in 'context_initialize'", function);
    return env;
}

/* ---- mq.sleep ---- */

typedef struct sleeper {
    mqlua_wait wait;
    mqlua_timer timer;
    mqlua_loop *loop;
} sleeper;

static void sleep_over(mqlua_timer *timer)
{
    sleeper *s = (sleeper *)((char *)timer - offsetof(sleeper, timer));
    mqlua_task_wake(&s->wait);
}

static void sleeper_free(mqlua_wait *wait)
{
    sleeper *s = (sleeper *)wait;
    mqlua_loop_stop(s->loop, &s->timer);
    free(s);
}

static int l_sleep(lua_State *L)
{
    double seconds = check_seconds(L, 1);
    mqlua_task_check(L, "mq.sleep");
    mqlua_loop *loop = check_loop(L, "mq.sleep")->loop;
    sleeper *s = calloc(1, sizeof *s);
    if (s && !mqlua_loop_start(loop, &s->timer, seconds, sleep_over)) {
        free(s);
        s = NULL;
    }
    if (!s)
        return luaL_error(L, "mq.sleep: no timer can be had");
    s->loop = loop;
    s->wait.cancel = s->wait.done = sleeper_free;
    return mqlua_task_park(L, &s->wait);
}

/* ---- spawned tasks ---- */

typedef struct waiter waiter;

/* One of the tasks that a waiter waits for. */
typedef struct link {
    waiter *owner;
    struct link *next, **back; /* the links of one job */
} link;

struct mqlua_spawned {
    mqlua_object object;
    mqlua_env *env;
    mqlua_task *task; /* NULL: ended */
    int anchor;       /* registry reference to the handle while the task runs */
    bool cancelled;
    link *links;
    mqlua_spawned **list, *next; /* the jobs of a connection; list NULL: of none */
};

static const mqlua_type job_type;

struct waiter {
    mqlua_wait wait;
    mqlua_timer timer;
    mqlua_loop *loop;
    lua_State *L;  /* the main state of the vm */
    int handles;   /* registry reference to the list of handles */
    int pending;
    bool timed_out;
    int count;
    link links[];
};

static void cut(link *l)
{
    if (!l->back)
        return;
    *l->back = l->next;
    if (l->next)
        l->next->back = l->back;
    l->back = NULL;
}

static void leave_list(mqlua_spawned *job)
{
    if (!job->list)
        return;
    mqlua_spawned **place = job->list;
    while (*place != job)
        place = &(*place)->next;
    *place = job->next;
    job->list = NULL;
}

/* The handle's own table holds ok and value; both places exist, so that storing cannot fail. The value is what the
 * function returned first or raised. */
static void keep_result(lua_State *L, mqlua_spawned *job, const mqlua_end *end)
{
    int value = end->outcome == MQLUA_DONE ? end->nresults : end->co != NULL;
    lua_rawgeti(L, LUA_REGISTRYINDEX, job->anchor);
    lua_getfenv(L, -1);
    lua_pushboolean(L, end->outcome == MQLUA_DONE);
    lua_rawseti(L, -2, 1);
    if (value) {
        lua_pushvalue(end->co, -value);
        lua_xmove(end->co, L, 1);
        lua_rawseti(L, -2, 2);
    }
    lua_pop(L, 2);
}

typedef struct error_text {
    mqlua_spawned *job;
    const char *text;
} error_text;

static int store_error(lua_State *L)
{
    const error_text *e = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, e->job->anchor);
    lua_getfenv(L, -1);
    lua_pushstring(L, e->text);
    lua_rawseti(L, -2, 2);
    return 0;
}

static void wake_waiters(mqlua_spawned *job)
{
    while (job->links) {
        link *l = job->links;
        cut(l);
        if (--l->owner->pending == 0)
            mqlua_task_wake(&l->owner->wait);
    }
}

/* Nobody may ever ask for the error of a task that nobody waits for: it goes to the log. */
static void keep_error(mqlua_spawned *job, const mqlua_end *end)
{
    error_text e = {job, end->error};
    if (!job->links)
        mqlua_report(job->env, "a spawned task failed", end->error);
    if (!end->co) /* it did not raise itself */
        mqlua_vm_setup(job->env->vm, store_error, &e, NULL);
}

static void job_ended(mqlua_task *task, const mqlua_end *end, void *ud)
{
    mqlua_spawned *job = ud;
    lua_State *L = mqlua_vm_state(job->env->vm);
    job->task = NULL;
    job->cancelled = end->outcome == MQLUA_CANCELLED;
    leave_list(job);
    keep_result(L, job, end);
    if (end->outcome == MQLUA_FAILED)
        keep_error(job, end);
    wake_waiters(job);
    luaL_unref(L, LUA_REGISTRYINDEX, job->anchor);
    job->anchor = LUA_NOREF;
}

void mqlua_tasks_push_job(lua_State *L, int index, mqlua_spawned **list)
{
    mqlua_env *env = check_loop(L, "mq.spawn");
    env->outlives = true;
    mqlua_spawned *job = mqlua_object_push(L, &job_type, sizeof *job, NULL);
    int handle = lua_gettop(L);
    job->env = env;
    lua_createtable(L, 2, 0);
    lua_pushboolean(L, 0);
    lua_rawseti(L, -2, 1);
    lua_setfenv(L, handle);
    lua_pushvalue(L, handle);
    job->anchor = luaL_ref(L, LUA_REGISTRYINDEX);
    mqlua_task *parent = list ? NULL : mqlua_task_current(env->vm);
    job->task = mqlua_task_spawn(L, index, parent, job_ended, job);
    if (list) {
        job->list = list;
        job->next = *list;
        *list = job;
    }
}

void mqlua_tasks_cancel_jobs(mqlua_spawned **list)
{
    while (*list)
        mqlua_task_cancel((*list)->task);
}

static int l_spawn(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    mqlua_tasks_push_job(L, 1, NULL);
    return 1;
}

static int l_job_cancel(lua_State *L)
{
    mqlua_spawned *job = mqlua_object_check(L, 1, &job_type);
    if (job->task)
        mqlua_task_cancel(job->task);
    return 0;
}

static int l_job_done(lua_State *L)
{
    mqlua_spawned *job = mqlua_object_check(L, 1, &job_type);
    lua_pushboolean(L, !job->task);
    return 1;
}

static const mqlua_field job_fields[] = {{"is_done", l_job_done, NULL}, {NULL, NULL, NULL}};
static const luaL_Reg job_methods[] = {{"cancel", l_job_cancel}, {NULL, NULL}};
static const mqlua_type job_type = {.name = "task", .fields = job_fields, .methods = job_methods};

/* ---- mq.wait ---- */

static void stop_waiting(mqlua_wait *wait)
{
    waiter *w = (waiter *)wait;
    for (int i = 0; i < w->count; i++)
        cut(&w->links[i]);
    mqlua_loop_stop(w->loop, &w->timer);
    luaL_unref(w->L, LUA_REGISTRYINDEX, w->handles);
    free(w);
}

static void wait_timed_out(mqlua_timer *timer)
{
    waiter *w = (waiter *)((char *)timer - offsetof(waiter, timer));
    w->timed_out = true;
    mqlua_task_wake(&w->wait);
}

static void push_result(lua_State *L, mqlua_spawned *job)
{
    lua_createtable(L, 2, 2);
    lua_getfenv(L, -2);
    lua_rawgeti(L, -1, 1);
    lua_pushvalue(L, -1);
    lua_rawseti(L, -4, 1);
    lua_setfield(L, -3, "ok");
    lua_rawgeti(L, -1, 2);
    if (job->cancelled) {
        lua_pop(L, 1);
        lua_pushliteral(L, "cancelled");
    }
    lua_pushvalue(L, -1);
    lua_rawseti(L, -4, 2);
    lua_setfield(L, -3, "value");
    lua_pop(L, 1);
}

/* The list of {ok, value} for the handles in the table at index. */
static int push_results(lua_State *L, int handles, int count)
{
    lua_createtable(L, count, 0);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, handles, i);
        push_result(L, lua_touserdata(L, -1));
        lua_rawseti(L, -3, i);
        lua_pop(L, 1);
    }
    return 1;
}

static int push_waited(lua_State *L)
{
    waiter *w = lua_touserdata(L, 1);
    if (w->timed_out) {
        lua_pushnil(L);
        return 1;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, w->handles);
    return push_results(L, lua_gettop(L), w->count);
}

/* A copy of the list of handles at index 1 (the script may change its own); returns how many still run. */
static int copy_handles(lua_State *L, int count)
{
    int running = 0;
    lua_createtable(L, count, 0);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, 1, i);
        mqlua_spawned *job = mqlua_object_test(L, -1, &job_type, NULL);
        if (!job)
            return luaL_error(L, "mq.wait takes a list of tasks from mq.spawn; number %d is a %s", i,
                              luaL_typename(L, -1));
        running += job->task != NULL;
        lua_rawseti(L, -2, i);
    }
    return running;
}

static waiter *make_waiter(lua_State *L, mqlua_env *env, int count, int running, double seconds)
{
    waiter *w = calloc(1, sizeof *w + (size_t)running * sizeof(link));
    if (w && seconds > 0 && !mqlua_loop_start(env->loop, &w->timer, seconds, wait_timed_out)) {
        free(w);
        w = NULL;
    }
    if (!w)
        luaL_error(L, "mq.wait: not enough memory");
    w->loop = env->loop;
    w->L = mqlua_vm_state(env->vm);
    w->count = count;
    w->pending = running;
    w->wait.push = push_waited;
    w->wait.cancel = w->wait.done = stop_waiting;
    return w;
}

static void watch_jobs(lua_State *L, waiter *w, int handles, int count)
{
    int used = 0;
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, handles, i);
        mqlua_spawned *job = lua_touserdata(L, -1);
        lua_pop(L, 1);
        if (!job->task)
            continue;
        link *l = &w->links[used++];
        *l = (link){.owner = w, .next = job->links, .back = &job->links};
        if (l->next)
            l->next->back = &l->next;
        job->links = l;
    }
}

/* wait(tasks, seconds): seconds is for with_timeout; nil when they passed first. */
static int l_wait(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    double seconds = lua_isnoneornil(L, 2) ? 0 : check_seconds(L, 2);
    int count = (int)lua_objlen(L, 1);
    int running = copy_handles(L, count), handles = lua_gettop(L);
    if (!running)
        return push_results(L, handles, count);
    mqlua_task_check(L, "mq.wait");
    mqlua_env *env = check_loop(L, "mq.wait");
    lua_pushvalue(L, handles);
    int reference = luaL_ref(L, LUA_REGISTRYINDEX);
    waiter *w = make_waiter(L, env, count, running, seconds);
    w->handles = reference;
    watch_jobs(L, w, handles, count);
    return mqlua_task_park(L, &w->wait);
}

/* ---- mq.after, mq.every ---- */

typedef struct mqlua_clock {
    mqlua_object object;
    mqlua_env *env;
    mqlua_timer timer;
    mqlua_task *task; /* running */
    double seconds;
    bool repeats, per_process, stopped;
    int function, anchor;
    struct mqlua_clock *next, **back; /* env->clocks */
} mqlua_clock;

static const mqlua_type clock_type;

static void clock_stop(mqlua_clock *clock)
{
    lua_State *L = mqlua_vm_state(clock->env->vm);
    if (clock->stopped)
        return;
    clock->stopped = true;
    if (clock->timer.place) /* else the loop may be another thread's */
        mqlua_loop_stop(clock->env->loop, &clock->timer);
    *clock->back = clock->next;
    if (clock->next)
        clock->next->back = clock->back;
    luaL_unref(L, LUA_REGISTRYINDEX, clock->function);
    luaL_unref(L, LUA_REGISTRYINDEX, clock->anchor);
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
    clock->task = NULL;
    if (end->outcome == MQLUA_FAILED)
        mqlua_report(clock->env, clock->repeats ? "a function of mq.every failed" : "a function of mq.after failed",
                     end->error);
    if (clock->stopped)
        return;
    if (clock->repeats && end->outcome != MQLUA_CANCELLED)
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
    clock->task = mqlua_task_start(clock->env->vm, clock->function, clock->env->no_arguments, clock_ended, clock);
}

static int make_clock(lua_State *L, const char *name, bool repeats)
{
    double seconds = check_seconds(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    mqlua_env *env = check_loop(L, name);
    env->outlives = true;
    mqlua_clock *clock = mqlua_object_push(L, &clock_type, sizeof *clock, NULL);
    clock->env = env;
    clock->seconds = seconds;
    clock->repeats = repeats;
    lua_pushvalue(L, 2);
    clock->function = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushvalue(L, -1);
    clock->anchor = luaL_ref(L, LUA_REGISTRYINDEX);
    clock->back = &env->clocks;
    clock->next = env->clocks;
    if (clock->next)
        clock->next->back = &clock->next;
    env->clocks = clock;
    if (repeats && lua_istable(L, 3)) {
        static const char *const scopes[] = {"worker", "process", NULL};
        lua_getfield(L, 3, "scope");
        clock->per_process = luaL_checkoption(L, lua_gettop(L), "worker", scopes) == 1;
        lua_pop(L, 1);
    }
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

void mqlua_tasks_start_timers(mqlua_env *env)
{
    for (mqlua_clock *clock = env->clocks; clock; clock = clock->next)
        if (!clock->timer.place && !clock->task)
            clock_start(clock);
}

void mqlua_tasks_stop_repeating(mqlua_env *env)
{
    for (mqlua_clock *clock = env->clocks, *next; clock; clock = next) {
        next = clock->next;
        if (clock->repeats)
            clock_stop(clock);
    }
}

void mqlua_tasks_stop_timers(mqlua_env *env)
{
    while (env->clocks)
        clock_stop(env->clocks);
}

void mqlua_tasks_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"sleep", l_sleep}, {"spawn", l_spawn}, {"wait", l_wait},
        {"after", l_after}, {"every", l_every}, {NULL, NULL},
    };
    mqlua_object_register(L, &job_type);
    mqlua_object_register(L, &clock_type);
    luaL_register(L, NULL, functions);
    lua_pushcfunction(L, l_no_arguments);
    mqlua_env_of(L)->no_arguments = luaL_ref(L, LUA_REGISTRYINDEX);
}
