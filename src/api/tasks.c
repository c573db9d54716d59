/* SPDX-License-Identifier: MIT */

#include "api/tasks.h"
#include "api/report.h"
#include "vm/object.h"
#include "vm/refs.h"
#include <math.h>
#include <stdlib.h>

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
    double seconds = mqlua_tasks_check_seconds(L, 1);
    mqlua_task_check(L, "mq.sleep");
    mqlua_loop *loop = mqlua_tasks_check_loop(L, "mq.sleep")->loop;
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

bool mqlua_tasks_sleeps(const mqlua_task *task)
{
    const mqlua_wait *wait = mqlua_task_waits_on(task);
    return wait && wait->cancel == sleeper_free;
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
    lua_State *L; /* the main state of the vm */
    int handles;  /* registry reference to the list of handles */
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
    mqlua_refs_drop(mqlua_vm_of(L), job->anchor);
    job->anchor = LUA_NOREF;
}

void mqlua_tasks_push_job(lua_State *L, int index, mqlua_spawned **list)
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

static int get_is_done(lua_State *L, void *object)
{
    const mqlua_spawned *job = object;
    lua_pushboolean(L, !job->task);
    return 1;
}

static const mqlua_field job_fields[] = {{"is_done", get_is_done, NULL}, {NULL, NULL, NULL}};
static const luaL_Reg job_methods[] = {{"cancel", l_job_cancel}, {NULL, NULL}};
static const mqlua_type job_type = {.name = "task", .fields = job_fields, .methods = job_methods};

/* ---- mq.wait ---- */

static void stop_waiting(mqlua_wait *wait)
{
    waiter *w = (waiter *)wait;
    for (int i = 0; i < w->count; i++)
        cut(&w->links[i]);
    mqlua_loop_stop(w->loop, &w->timer);
    mqlua_refs_drop(mqlua_vm_of(w->L), w->handles);
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
    double seconds = lua_isnoneornil(L, 2) ? 0 : mqlua_tasks_check_seconds(L, 2);
    int count = (int)lua_objlen(L, 1);
    int running = copy_handles(L, count), handles = lua_gettop(L);
    if (!running)
        return push_results(L, handles, count);
    mqlua_task_check(L, "mq.wait");
    mqlua_env *env = mqlua_tasks_check_loop(L, "mq.wait");
    lua_pushvalue(L, handles);
    int reference = mqlua_refs_add(L);
    waiter *w = make_waiter(L, env, count, running, seconds);
    w->handles = reference;
    watch_jobs(L, w, handles, count);
    return mqlua_task_park(L, &w->wait);
}

void mqlua_tasks_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"sleep", l_sleep}, {"spawn", l_spawn}, {"wait", l_wait}, {NULL, NULL}};
    mqlua_object_register(L, &job_type);
    luaL_register(L, NULL, functions);
}
