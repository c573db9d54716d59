/* SPDX-License-Identifier: MIT */

#include "vm/internal.h"
#include "vm/refs.h"
#include <stdlib.h>
#include <string.h>

typedef enum task_state { TASK_NEW, TASK_RUNNING, TASK_PARKED, TASK_ENDED } task_state;

struct mqlua_task {
    mqlua_vm *vm;
    lua_State *co;
    int ref; /* keeps co alive */
    task_state state;
    bool queued, cancelled;
    mqlua_wait *wait;  /* the one it is parked on */
    mqlua_wait *waits; /* every wait that was not finished, also those whose park failed in a coroutine of the script */
    bool woken;        /* wait is there */
    char *failure;     /* mqlua_task_fail: malloc'ed */
    mqlua_cleanup *cleanups;
    mqlua_task *parent, *children, *sibling;
    mqlua_ended ended;
    void *ud;
    mqlua_task *next, *prev;  /* vm->all */
    mqlua_task *ready_next;
};

/* A task for a task of nobody: at most this many are resumed in one turn of the loop. */
enum { READY_BATCH = 10000 };

/* ---- memory and lists ---- */

static mqlua_task *task_new(mqlua_vm *vm, mqlua_ended ended, void *ud)
{
    mqlua_task *task = vm->free_tasks;
    if (task)
        vm->free_tasks = task->next;
    else if (!(task = malloc(sizeof *task)))
        return NULL;
    *task = (mqlua_task){.vm = vm, .ref = LUA_NOREF, .ended = ended, .ud = ud, .next = vm->all};
    if (vm->all)
        vm->all->prev = task;
    vm->all = task;
    vm->count++;
    return task;
}

static void unlink_child(mqlua_task *task)
{
    if (!task->parent)
        return;
    mqlua_task **link = &task->parent->children;
    while (*link != task)
        link = &(*link)->sibling;
    *link = task->sibling;
    task->parent = NULL;
}

static void task_free(mqlua_task *task)
{
    mqlua_vm *vm = task->vm;
    if (task->prev)
        task->prev->next = task->next;
    else
        vm->all = task->next;
    if (task->next)
        task->next->prev = task->prev;
    vm->count--;
    free(task->failure);
    task->next = vm->free_tasks;
    vm->free_tasks = task;
}

static void enqueue(mqlua_task *task)
{
    mqlua_vm *vm = task->vm;
    if (task->queued)
        return;
    task->queued = true;
    task->ready_next = NULL;
    if (vm->ready_last)
        vm->ready_last->ready_next = task;
    else
        vm->ready = task;
    vm->ready_last = task;
    if (!vm->notified && vm->notify) {
        vm->notified = true;
        vm->notify(vm->notify_ud);
    }
}

static mqlua_task *dequeue(mqlua_vm *vm)
{
    mqlua_task *task = vm->ready;
    if (task && !(vm->ready = task->ready_next))
        vm->ready_last = NULL;
    if (task)
        task->queued = false;
    return task;
}

static void remove_queued(mqlua_task *task)
{
    mqlua_vm *vm = task->vm;
    mqlua_task *before = NULL;
    for (mqlua_task *t = vm->ready; task->queued && t; before = t, t = t->ready_next) {
        if (t != task)
            continue;
        if (before)
            before->ready_next = t->ready_next;
        else
            vm->ready = t->ready_next;
        if (vm->ready_last == t)
            vm->ready_last = before;
        task->queued = false;
    }
}

static void unlink_wait(mqlua_wait *wait)
{
    mqlua_task *task = wait->task;
    if (wait->prev)
        wait->prev->next = wait->next;
    else
        task->waits = wait->next;
    if (wait->next)
        wait->next->prev = wait->prev;
    if (task->wait == wait) {
        task->wait = NULL;
        task->woken = false;
    }
    wait->task = NULL;
}

/* ---- the end of a task ---- */

typedef struct failure {
    mqlua_task *task;
    const char *message; /* instead of what was raised; NULL: that */
    char *text;
} failure;

static int describe_failure(lua_State *L)
{
    failure *f = lua_touserdata(L, 1);
    lua_State *co = f->task->co;
    if (f->message) {
        lua_pop(co, 1);
        lua_pushstring(L, f->message);
        lua_xmove(L, co, 1);
    }
    const char *message = lua_tostring(co, -1);
    if (!message)
        message = lua_pushfstring(L, "(error object is a %s value)", lua_typename(co, lua_type(co, -1)));
    luaL_traceback(L, co, message, 0);
    f->text = strdup(lua_tostring(L, -1));
    return 0;
}

static void cancel_children(mqlua_task *task)
{
    while (task->children)
        mqlua_task_cancel(task->children);
}

static void release(mqlua_task *task)
{
    cancel_children(task);
    while (task->waits) {
        mqlua_wait *wait = task->waits;
        unlink_wait(wait);
        wait->cancel(wait);
    }
    while (task->cleanups) {
        mqlua_cleanup *cleanup = task->cleanups;
        task->cleanups = cleanup->next;
        cleanup->run(cleanup);
    }
    remove_queued(task);
    unlink_child(task);
}

static void end_task(mqlua_task *task, const mqlua_end *end)
{
    mqlua_vm *vm = task->vm;
    task->state = TASK_ENDED;
    release(task);
    if (task->ended)
        task->ended(task, end, task->ud);
    mqlua_coroutine_give(vm, task->co, task->ref, end->outcome == MQLUA_DONE);
    task_free(task);
    if (end->outcome == MQLUA_FAILED)
        mqlua_vm_relieve(vm);
}

static void end_failed(mqlua_task *task, int status, bool expired)
{
    char spent[MQLUA_SPENT_TEXT];
    failure f = {.task = task};
    if (expired && status == LUA_ERRMEM) { /* once the budget is spent the allocator refuses large blocks */
        mqlua_vm_spent_text(task->vm, spent);
        f.message = spent;
    }
    if (task->co)
        mqlua_vm_setup(task->vm, describe_failure, &f, NULL);
    const char *text = f.text ? f.text : f.message ? f.message : "not enough memory";
    mqlua_end end = {.outcome = MQLUA_FAILED, .error = text, .co = task->co};
    end.kind = expired ? MQLUA_ERROR_BUDGET : status == LUA_ERRMEM ? MQLUA_ERROR_MEMORY : MQLUA_ERROR_SCRIPT;
    end_task(task, &end);
    free(f.text);
}

static void end_with_message(mqlua_task *task, const char *message)
{
    mqlua_end end = {.outcome = MQLUA_FAILED, .error = message, .kind = MQLUA_ERROR_SCRIPT};
    end_task(task, &end);
}

/* ---- running ---- */

static bool yielded_to_park(lua_State *co)
{
    return lua_gettop(co) > 0 && lua_touserdata(co, -1) == &mqlua_vm_of(co)->park_tag;
}

/* Where a run left the task: parked, ended, or to be cancelled. True when it has ended. */
static bool settle(mqlua_task *task, int status, bool expired)
{
    if (status == LUA_YIELD && yielded_to_park(task->co)) {
        lua_settop(task->co, 0);
        task->state = TASK_PARKED;
        if (task->cancelled)
            mqlua_task_cancel(task);
        else if (task->failure)
            end_with_message(task, task->failure);
        else if (task->woken)
            enqueue(task);
        else
            return false;
        return task->state == TASK_ENDED;
    }
    if (status == 0) {
        mqlua_end end = {.outcome = MQLUA_DONE, .co = task->co, .nresults = lua_gettop(task->co)};
        end_task(task, &end);
        return true;
    }
    end_failed(task, status, expired);
    return true;
}

static bool resume(mqlua_task *task, int nargs)
{
    mqlua_vm *vm = task->vm;
    mqlua_task *outer = vm->current;
    vm->current = task;
    task->state = TASK_RUNNING;
    mqlua_vm_enter(vm);
    int status = lua_resume(task->co, nargs);
    bool expired = vm->expired;
    mqlua_vm_leave(vm);
    vm->current = outer;
    return settle(task, status, expired);
}

/* A task with an empty coroutine; NULL when there is no memory: then it has ended already. */
static mqlua_task *make(mqlua_vm *vm, mqlua_ended ended, void *ud)
{
    mqlua_task *task = task_new(vm, ended, ud);
    if (!task) {
        mqlua_end end = {.outcome = MQLUA_FAILED, .error = "not enough memory", .kind = MQLUA_ERROR_MEMORY};
        ended(NULL, &end, ud);
    } else if (!mqlua_coroutine_take(vm, &task->co, &task->ref)) {
        end_failed(task, LUA_ERRMEM, false);
        task = NULL;
    }
    return task;
}

mqlua_task *mqlua_task_start(mqlua_vm *vm, int handler, int prepare, mqlua_ended ended, void *ud)
{
    mqlua_task *task = make(vm, ended, ud);
    if (!task)
        return NULL;
    lua_rawgeti(task->co, LUA_REGISTRYINDEX, vm->body);
    lua_rawgeti(task->co, LUA_REGISTRYINDEX, handler);
    lua_rawgeti(task->co, LUA_REGISTRYINDEX, prepare);
    return resume(task, 2) ? NULL : task;
}

mqlua_task *mqlua_task_start_with(mqlua_vm *vm, int handler, const int *arguments, int count, mqlua_ended ended,
                                  void *ud)
{
    mqlua_task *task = make(vm, ended, ud);
    if (!task)
        return NULL;
    lua_rawgeti(task->co, LUA_REGISTRYINDEX, handler);
    for (int i = 0; i < count; i++)
        lua_rawgeti(task->co, LUA_REGISTRYINDEX, arguments[i]);
    return resume(task, count) ? NULL : task;
}

mqlua_task *mqlua_task_spawn(lua_State *L, int index, mqlua_task *parent, mqlua_ended ended, void *ud)
{
    mqlua_vm *vm = mqlua_vm_of(L);
    lua_pushvalue(L, index);
    lua_State *co = lua_newthread(L);
    int ref = mqlua_refs_add(L);
    lua_xmove(L, co, 1);
    mqlua_task *task = task_new(vm, ended, ud);
    if (!task) {
        luaL_unref(L, LUA_REGISTRYINDEX, ref);
        luaL_error(L, "not enough memory");
        return NULL;
    }
    task->co = co;
    task->ref = ref;
    if (parent) {
        task->parent = parent;
        task->sibling = parent->children;
        parent->children = task;
    }
    enqueue(task);
    return task;
}

mqlua_task *mqlua_task_current(mqlua_vm *vm)
{
    return vm->current;
}

bool mqlua_task_is(lua_State *L)
{
    const mqlua_task *task = mqlua_vm_of(L)->current;
    return task && task->co == L;
}

void *mqlua_task_data(mqlua_task *task)
{
    return task->ud;
}

bool mqlua_task_parked(const mqlua_task *task)
{
    return task->state == TASK_PARKED;
}

size_t mqlua_task_count(const mqlua_vm *vm)
{
    return vm->count;
}

void mqlua_task_cancel(mqlua_task *task)
{
    if (task->state == TASK_ENDED)
        return;
    if (task->state == TASK_RUNNING) {
        task->cancelled = true;
        cancel_children(task);
        return;
    }
    mqlua_end end = {.outcome = MQLUA_CANCELLED};
    end_task(task, &end);
}

void mqlua_task_fail(mqlua_task *task, const char *message)
{
    if (task->state == TASK_PARKED)
        end_with_message(task, message);
    else if (task->state == TASK_RUNNING && !task->failure)
        task->failure = strdup(message);
}

void mqlua_task_defer(mqlua_task *task, mqlua_cleanup *cleanup)
{
    cleanup->next = task->cleanups;
    task->cleanups = cleanup;
}

void mqlua_task_undefer(mqlua_task *task, mqlua_cleanup *cleanup)
{
    mqlua_cleanup **link = &task->cleanups;
    while (*link && *link != cleanup)
        link = &(*link)->next;
    if (*link)
        *link = cleanup->next;
}

/* ---- waiting ---- */

void mqlua_task_check(lua_State *L, const char *function)
{
    mqlua_task *task = mqlua_vm_of(L)->current;
    if (!task)
        luaL_error(L, "%s cannot wait here: a policy that loads, 'initialize', 'cleanup' and 'context_*' run to "
                      "their end at once; use mq.spawn or mq.after inside an event", function);
    if (!lua_isyieldable(L) || !lua_isyieldable(task->co))
        luaL_error(L, "%s cannot wait inside a callback that the Lua library calls (gsub, sort, require, load, a "
                      "metamethod); collect first, then wait outside of it", function);
}

int mqlua_task_park(lua_State *L, mqlua_wait *wait)
{
    mqlua_vm *vm = mqlua_vm_of(L);
    mqlua_task *task = vm->current;
    wait->task = task;
    wait->prev = NULL;
    wait->next = task->waits;
    if (task->waits)
        task->waits->prev = wait;
    task->waits = wait;
    task->wait = wait;
    task->woken = false;
    lua_pushlightuserdata(L, &vm->park_tag);
    return lua_yield(L, 1);
}

void mqlua_task_wake(mqlua_wait *wait)
{
    mqlua_task *task = wait->task;
    if (!task)
        return;
    if (task->wait != wait) { /* its park failed, or the script went on to something else */
        unlink_wait(wait);
        if (wait->done)
            wait->done(wait);
        return;
    }
    task->woken = true;
    if (task->state == TASK_PARKED)
        enqueue(task);
}

typedef struct delivery {
    mqlua_wait *wait;
    lua_State *co;
    int count;
} delivery;

/* Results are made on the main stack, where a failure is caught, and then moved over. */
static int deliver(lua_State *L)
{
    delivery *d = lua_touserdata(L, 1);
    lua_settop(L, 0);
    lua_pushlightuserdata(L, d->wait);
    d->count = d->wait->push ? d->wait->push(L) : 0;
    lua_xmove(L, d->co, d->count);
    return 0;
}

static void resume_woken(mqlua_task *task)
{
    mqlua_wait *wait = task->wait;
    delivery d = {wait, task->co, 0};
    char *error = NULL;
    int status = mqlua_vm_store(task->vm, deliver, &d, &error);
    unlink_wait(wait);
    if (wait->done)
        wait->done(wait);
    if (status)
        end_with_message(task, error ? error : "not enough memory");
    else
        resume(task, d.count);
    free(error);
}

bool mqlua_task_run_ready(mqlua_vm *vm)
{
    bool ran = false;
    vm->notified = false;
    for (int i = 0; i < READY_BATCH && vm->ready; i++) {
        mqlua_task *task = dequeue(vm);
        ran = true;
        if (task->state == TASK_NEW)
            resume(task, 0);
        else if (task->woken)
            resume_woken(task);
    }
    if (vm->ready && !vm->notified && vm->notify) {
        vm->notified = true;
        vm->notify(vm->notify_ud);
    }
    return ran;
}

void mqlua_task_set_notify(mqlua_vm *vm, void (*notify)(void *ud), void *ud)
{
    vm->notify = notify;
    vm->notify_ud = ud;
}

void mqlua_task_close(mqlua_vm *vm)
{
    vm->notify = NULL;
    while (vm->all)
        mqlua_task_cancel(vm->all);
    while (vm->free_tasks) {
        mqlua_task *task = vm->free_tasks;
        vm->free_tasks = task->next;
        free(task);
    }
}
