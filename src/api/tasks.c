/* SPDX-License-Identifier: MIT */

#include "api/tasks.h"
#include "api/await.h"
#include "api/report.h"
#include "base/list.h"
#include "vm/object.h"
#include "vm/refs.h"
#include <math.h>
#include <stdlib.h>

/* What one task of a list counts against the run-time budget. */
enum { JOB_STEPS = 100 };

static const double LONGEST_WAIT = 366 * 86400.0; /* seconds; longer is surely a mistake */

double mqlua_tasks_check_seconds(lua_State *L, int index)
{
    double seconds = luaL_checknumber(L, index);
    luaL_argcheck(L, seconds >= 0 && seconds <= LONGEST_WAIT, index, "must be seconds, 0 or more");
    return seconds;
}

mqlua_env *mqlua_tasks_check_loop(lua_State *L, const char *function)
{
    mqlua_env *env = mqlua_env_of(L);
    if (!env->loop)
        luaL_error(
            L,
            "%s is not available here: 'initialize' and 'cleanup' run before and after the workers; use "
            "it in the event itself or in 'context_initialize'",
            function);
    return env;
}

/* ---- mq.sleep ---- */

static void free_await(mqlua_await *await, bool cancelled)
{
    free(await);
}

static const mqlua_await_kind sleep_kind = {.release = free_await};

static int l_sleep(lua_State *L)
{
    double seconds = mqlua_tasks_check_seconds(L, 1);
    mqlua_loop *loop = mqlua_await_check(L, "mq.sleep")->loop;
    mqlua_await *await = calloc(1, sizeof *await);
    if (!await || !mqlua_await_start(await, loop, seconds, &sleep_kind)) {
        free(await);
        return luaL_error(L, "mq.sleep: no timer can be had");
    }
    return mqlua_await_park(L, await);
}

bool mqlua_tasks_sleeps(const mqlua_task *task)
{
    return mqlua_await_kind_of(task) == &sleep_kind;
}

/* ---- spawned tasks ---- */

typedef struct waiter waiter;
typedef struct mqlua_spawned mqlua_spawned; /* part of the handle */

/* One of the tasks that a waiter waits for. */
typedef struct awaited {
    waiter *owner;
    bool linked;
    LIST_ENTRY(awaited) link; /* job->waiters */
} awaited;

struct mqlua_spawned {
    mqlua_object object;
    mqlua_env *env;
    mqlua_task *task; /* NULL: ended */
    int anchor;       /* registry reference to the handle while the task runs */
    bool cancelled;
    LIST_HEAD(, awaited) waiters;
};

static const mqlua_type job_type;

struct waiter {
    mqlua_await await; /* first */
    int pending;       /* jobs that have not ended */
    int count;
    awaited jobs[];
};

static void cut(awaited *a)
{
    if (a->linked)
        LIST_REMOVE(a, link);
    a->linked = false;
}

/* The handle's own table holds ok and value; both places exist, so that storing cannot fail. The value is
 * what the function returned first or raised. */
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
    for (awaited *a; (a = LIST_FIRST(&job->waiters));) {
        cut(a);
        if (--a->owner->pending == 0)
            mqlua_await_wake(&a->owner->await);
    }
}

/* Nobody may ever ask for the error of a task that nobody waits for: it goes to the log. */
static void keep_error(mqlua_spawned *job, const mqlua_end *end)
{
    error_text e = {job, end->error};
    if (LIST_EMPTY(&job->waiters))
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
    keep_result(L, job, end);
    if (end->outcome == MQLUA_FAILED)
        keep_error(job, end);
    wake_waiters(job);
    mqlua_refs_drop(mqlua_vm_of(L), job->anchor);
    job->anchor = LUA_NOREF;
}

void mqlua_tasks_push_job(lua_State *L, int index, mqlua_lane *lane, mqlua_task *parent)
{
    mqlua_env *env = mqlua_tasks_check_loop(L, "mq.spawn");
    env->outlives = true;
    mqlua_spawned *job = mqlua_object_push(L, &job_type, sizeof *job, NULL);
    int handle = lua_gettop(L);
    job->env = env;
    lua_createtable(L, 2, 0);
    lua_pushboolean(L, 0);
    lua_rawseti(L, -2, 1);
    lua_setfenv(L, handle);
    lua_pushvalue(L, handle);
    job->anchor = mqlua_refs_add(L);
    job->task = mqlua_task_spawn(L, index, lane, parent, job_ended, job);
}

static int l_spawn(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    mqlua_tasks_push_job(L, 1, NULL, mqlua_task_current(mqlua_vm_of(L)));
    return 1;
}

/* defer(fn): fn runs when the task ends, whichever way. */
static int l_defer(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    mqlua_task_defer(L, 1);
    return 0;
}

static void defer_failed(mqlua_vm *vm, const char *error)
{
    mqlua_report(mqlua_vm_owner(vm), "a function of mq.defer failed", error);
}

static int l_job_cancel(lua_State *L)
{
    mqlua_spawned *job = mqlua_object_check(L, 1, &job_type);
    if (job->task)
        mqlua_task_cancel(job->task);
    return 0;
}

static int get_is_done(lua_State *L, void *object)
{
    const mqlua_spawned *job = object;
    lua_pushboolean(L, !job->task || mqlua_task_doomed(job->task));
    return 1;
}

static const mqlua_field job_fields[] = {{"is_done", get_is_done, NULL}, {NULL, NULL, NULL}};
static const luaL_Reg job_methods[] = {{"cancel", l_job_cancel}, {NULL, NULL}};
static const mqlua_type job_type = {.name = "task", .fields = job_fields, .methods = job_methods};

/* ---- mq.wait: three functions that lua/mq/core/task.lua puts together ---- */

static void stop_waiting(mqlua_await *await, bool cancelled)
{
    waiter *w = (waiter *)await;
    for (int i = 0; i < w->count; i++)
        cut(&w->jobs[i]);
    free(w);
}

static int push_in_time(lua_State *L)
{
    lua_pushboolean(L, !mqlua_await_of(L)->timed_out);
    return 1;
}

/* copy(tasks): a list of the same tasks, which the script cannot change, and how many of them have not ended.
 * Or nil and what is wrong. */
static int l_copy(lua_State *L)
{
    if (!lua_istable(L, 1)) {
        lua_pushnil(L);
        lua_pushfstring(L, "bad argument #1 to 'wait' (table expected, got %s)",
                        lua_isnone(L, 1) ? "no value" : luaL_typename(L, 1));
        return 2;
    }
    int count = (int)lua_objlen(L, 1), running = 0;
    lua_createtable(L, count, 0);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, 1, i);
        const mqlua_spawned *job = mqlua_object_test(L, -1, &job_type, NULL);
        if (!job) {
            lua_pushnil(L);
            lua_pushfstring(L, "mq.wait takes a list of tasks from mq.spawn; number %d is a %s", i,
                            luaL_typename(L, -2));
            return 2;
        }
        running += job->task != NULL;
        lua_rawseti(L, -2, i);
        mqlua_vm_charge(L, JOB_STEPS);
    }
    lua_pushinteger(L, running);
    return 2;
}

static void watch_jobs(lua_State *L, waiter *w, int size)
{
    for (int i = 1; i <= size && w->count < w->pending; i++) {
        lua_rawgeti(L, 1, i);
        mqlua_spawned *job = lua_touserdata(L, -1);
        lua_pop(L, 1);
        if (!job->task)
            continue;
        awaited *a = &w->jobs[w->count++];
        *a = (awaited){.owner = w, .linked = true};
        LIST_INSERT_HEAD(&job->waiters, a, link);
    }
}

/* wait(copy, running, seconds): true when all have ended, false when seconds (nil: none) passed first. The
 * caller keeps the copy meanwhile. */
static int l_wait(lua_State *L)
{
    static const mqlua_await_kind kind = {.push = push_in_time, .release = stop_waiting};
    int running = (int)lua_tointeger(L, 2);
    double seconds = lua_isnoneornil(L, 3) ? -1 : mqlua_tasks_check_seconds(L, 3);
    mqlua_env *env = mqlua_await_check(L, "mq.wait");
    waiter *w = calloc(1, sizeof *w + (size_t)running * sizeof w->jobs[0]);
    if (!w || !mqlua_await_start(&w->await, env->loop, seconds, &kind)) {
        free(w);
        return luaL_error(L, "mq.wait: not enough memory");
    }
    w->pending = running;
    watch_jobs(L, w, (int)lua_objlen(L, 1));
    return mqlua_await_park(L, &w->await);
}

static void push_result(lua_State *L, const mqlua_spawned *job)
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

/* results(copy): the list of {ok, value}. */
static int l_results(lua_State *L)
{
    int count = (int)lua_objlen(L, 1);
    lua_createtable(L, count, 0);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, 1, i);
        push_result(L, lua_touserdata(L, -1));
        lua_rawseti(L, -3, i);
        lua_pop(L, 1);
        mqlua_vm_charge(L, JOB_STEPS);
    }
    return 1;
}

void mqlua_tasks_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"sleep", l_sleep}, {"spawn", l_spawn}, {"defer", l_defer}, {NULL, NULL}};
    static const luaL_Reg private[] = {
        {"copy", l_copy}, {"wait", l_wait}, {"results", l_results}, {NULL, NULL}};
    mqlua_object_register(L, &job_type);
    luaL_register(L, NULL, functions);
    lua_newtable(L);
    luaL_register(L, NULL, private);
    lua_setfield(L, LUA_REGISTRYINDEX, "mqlua.tasks");
    mqlua_task_set_defer_failed(mqlua_vm_of(L), defer_failed);
}
