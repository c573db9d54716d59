/* SPDX-License-Identifier: MIT */

#include "vm/internal.h"
#include "vm/refs.h"
#include <stdlib.h>
#include <string.h>

/* ---- memory and lists ---- */

static mqlua_task *make_task(mqlua_vm *vm, lua_State *co, int ref)
{
    mqlua_task *task = calloc(1, sizeof *task);
    if (task) {
        task->vm = vm;
        task->co = co;
        task->ref = ref;
    }
    return task;
}

/* One that ended, with the coroutine it had: nothing else is left in it. NULL: there is none. */
static mqlua_task *take_spare(mqlua_vm *vm)
{
    mqlua_task *task = vm->spare;
    if (task) {
        vm->spare = task->next;
        vm->spares--;
        task->state = MQLUA_TASK_NEW;
    }
    return task;
}

/* From outside Lua, when there is no spare one. NULL: no memory. */
static mqlua_task *new_task(mqlua_vm *vm)
{
    lua_State *co;
    int ref;
    if (!mqlua_coroutine_make(vm, &co, &ref))
        return NULL;
    mqlua_task *task = make_task(vm, co, ref);
    if (!task)
        mqlua_refs_drop(vm, ref);
    return task;
}

/* What has not ended when Lua is left: waits, or is to be started. */
static void list(mqlua_task *task)
{
    mqlua_vm *vm = task->vm;
    if (task->listed)
        return;
    task->listed = true;
    task->doomed = false;
    task->prev = NULL;
    task->next = vm->all;
    if (vm->all)
        vm->all->prev = task;
    vm->all = task;
    vm->count++;
}

static void unlist(mqlua_task *task)
{
    mqlua_vm *vm = task->vm;
    task->listed = false;
    if (task->prev)
        task->prev->next = task->next;
    else
        vm->all = task->next;
    if (task->next)
        task->next->prev = task->prev;
    vm->count--;
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

static void free_task(mqlua_task *task)
{
    mqlua_refs_drop(task->vm, task->ref);
    free(task->failure);
    free(task);
}

void mqlua_task_unlink(mqlua_wait *wait)
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

/* What an error object says of itself; it runs a script, so inside the limits. */
static int call_tostring(lua_State *L)
{
    failure *f = lua_touserdata(L, 1);
    lua_State *co = f->task->co;
    lua_pushvalue(co, -1);
    lua_xmove(co, L, 1);
    if (luaL_callmeta(L, -1, "__tostring") && lua_type(L, -1) == LUA_TSTRING)
        f->text = strdup(lua_tostring(L, -1));
    return 0;
}

static int describe_failure(lua_State *L)
{
    failure *f = lua_touserdata(L, 1);
    lua_State *co = f->task->co;
    if (f->message) {
        lua_pop(co, 1);
        lua_pushstring(L, f->message);
        lua_xmove(L, co, 1);
    }
    const char *message = f->text ? f->text : lua_tostring(co, -1);
    if (!message)
        message = lua_pushfstring(L, "(error object is a %s value)", lua_typename(co, lua_type(co, -1)));
    luaL_traceback(L, co, message, 0);
    free(f->text);
    f->text = strdup(lua_tostring(L, -1));
    return 0;
}

/* A child that runs, which is where the cancelling came from, ends when it parks: it is nobody's child by
 * then. */
static void cancel_children(mqlua_task *task)
{
    while (task->children) {
        mqlua_task *child = task->children;
        unlink_child(child);
        mqlua_task_cancel(child);
    }
}

static void release(mqlua_task *task)
{
    cancel_children(task);
    while (task->waits) {
        mqlua_wait *wait = task->waits;
        mqlua_task_unlink(wait);
        wait->cancel(wait);
    }
    while (task->cleanups) {
        mqlua_cleanup *cleanup = task->cleanups;
        task->cleanups = cleanup->next;
        cleanup->run(cleanup);
    }
    if (task->queued)
        mqlua_task_unqueue(task);
    unlink_child(task);
}

static bool holds_something(const mqlua_task *task)
{
    return task->children || task->waits || task->cleanups || task->queued || task->parent;
}

static inline __attribute__((always_inline)) void finish(mqlua_task *task, const mqlua_end *end)
{
    task->state = MQLUA_TASK_ENDED;
    if (holds_something(task))
        release(task);
    if (task->ended)
        task->ended(task, end, task->ud);
    if (task->listed)
        unlist(task);
}

/* It returned: it can be the next one. */
static bool end_done(mqlua_task *task)
{
    mqlua_vm *vm = task->vm;
    mqlua_end end = {.outcome = MQLUA_DONE, .co = task->co, .nresults = lua_gettop(task->co)};
    finish(task, &end);
    if (vm->spares == MQLUA_SPARE_TASKS) {
        free_task(task);
        return true;
    }
    if (end.nresults)
        lua_settop(task->co, 0);
    if (task->failure)
        free(task->failure);
    task->failure = NULL;
    task->cancelled = false;
    task->next = vm->spare;
    vm->spare = task;
    vm->spares++;
    return true;
}

static void end_task(mqlua_task *task, const mqlua_end *end)
{
    mqlua_vm *vm = task->vm;
    finish(task, end);
    free_task(task);
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
    if (!f.message && lua_gettop(task->co) && lua_istable(task->co, -1))
        mqlua_vm_call(task->vm, call_tostring, &f, NULL);
    mqlua_vm_setup(task->vm, describe_failure, &f, NULL);
    const char *text = f.text ? f.text : f.message ? f.message : "not enough memory";
    mqlua_end end = {.outcome = MQLUA_FAILED, .error = text, .co = task->co};
    end.kind = expired ? MQLUA_ERROR_BUDGET : status == LUA_ERRMEM ? MQLUA_ERROR_MEMORY : MQLUA_ERROR_SCRIPT;
    end_task(task, &end);
    free(f.text);
}

void mqlua_task_end_failed(mqlua_task *task, const char *message)
{
    mqlua_end end = {.outcome = MQLUA_FAILED, .error = message, .kind = MQLUA_ERROR_SCRIPT};
    end_task(task, &end);
}

/* ---- running ---- */

static bool yielded_to_park(lua_State *co)
{
    return lua_gettop(co) > 0 && lua_touserdata(co, -1) == &mqlua_vm_of(co)->park_tag;
}

static bool wait_on(mqlua_task *task)
{
    list(task);
    if (task->woken)
        mqlua_task_enqueue(task);
    return false;
}

/* Where a run left a task that did not return: parked, failed, or to be cancelled. True when it has ended. */
static bool settle(mqlua_task *task, int status, bool expired)
{
    if (status == LUA_YIELD && yielded_to_park(task->co)) {
        lua_settop(task->co, 0);
        task->state = MQLUA_TASK_PARKED;
        if (task->cancelled)
            mqlua_task_cancel(task);
        else if (task->failure)
            mqlua_task_end_failed(task, task->failure);
        else
            return wait_on(task);
        return true;
    }
    end_failed(task, status, expired);
    return true;
}

/* A function is on the stack, and on top of it one that pushes its arguments. */
static int prepare_and_resume(lua_State *co)
{
    int status = lua_pcall(co, 0, LUA_MULTRET, 0);
    return status ? status : lua_resume(co, lua_gettop(co) - 1);
}

enum { PREPARE = -1 };

/* Inside each of the three that start or go on, each with what it needs of it. */
static inline __attribute__((always_inline)) bool resume(mqlua_task *task, int nargs)
{
    mqlua_vm *vm = task->vm;
    mqlua_task *outer = vm->current;
    vm->current = task;
    task->state = MQLUA_TASK_RUNNING;
    mqlua_vm_enter(vm);
    int status = nargs == PREPARE ? prepare_and_resume(task->co) : lua_resume(task->co, nargs);
    bool expired = vm->expired;
    mqlua_vm_leave(vm);
    vm->current = outer;
    return status ? settle(task, status, expired) : end_done(task);
}

void mqlua_task_resume(mqlua_task *task, int nargs)
{
    resume(task, nargs);
}

static void end_unmade(mqlua_vm *vm, mqlua_ended ended, void *ud)
{
    mqlua_end end = {.outcome = MQLUA_FAILED, .error = "not enough memory", .kind = MQLUA_ERROR_MEMORY};
    ended(NULL, &end, ud);
    mqlua_vm_relieve(vm);
}

/* A task with an empty coroutine; NULL when there is no memory: then it has ended already. */
static inline __attribute__((always_inline)) mqlua_task *make(mqlua_vm *vm, mqlua_ended ended, void *ud)
{
    mqlua_task *task = take_spare(vm);
    if (!task && !(task = new_task(vm))) {
        end_unmade(vm, ended, ud);
        return NULL;
    }
    task->ended = ended;
    task->ud = ud;
    return task;
}

mqlua_task *mqlua_task_start(mqlua_vm *vm, int handler, int prepare, mqlua_ended ended, void *ud)
{
    mqlua_task *task = make(vm, ended, ud);
    if (!task)
        return NULL;
    lua_rawgeti(task->co, LUA_REGISTRYINDEX, handler);
    lua_rawgeti(task->co, LUA_REGISTRYINDEX, prepare);
    return resume(task, PREPARE) ? NULL : task;
}

mqlua_task *mqlua_task_start_with(mqlua_vm *vm, int handler, const int *arguments, int count,
                                  mqlua_ended ended, void *ud)
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
    mqlua_task *task = take_spare(mqlua_vm_of(L));
    if (!task) {
        lua_State *co = lua_newthread(L);
        int ref = mqlua_refs_add(L);
        task = make_task(mqlua_vm_of(L), co, ref);
        if (!task) {
            mqlua_refs_drop(mqlua_vm_of(L), ref);
            luaL_error(L, "not enough memory");
            return NULL;
        }
    }
    task->ended = ended;
    task->ud = ud;
    lua_pushvalue(L, index);
    lua_xmove(L, task->co, 1);
    if (parent) {
        task->parent = parent;
        task->sibling = parent->children;
        parent->children = task;
    }
    list(task);
    mqlua_task_enqueue(task);
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

const mqlua_wait *mqlua_task_waits_on(const mqlua_task *task)
{
    return task->wait;
}

bool mqlua_task_parked(const mqlua_task *task)
{
    return task->state == MQLUA_TASK_PARKED;
}

size_t mqlua_task_count(const mqlua_vm *vm)
{
    return vm->count;
}

void mqlua_task_cancel(mqlua_task *task)
{
    if (task->state == MQLUA_TASK_ENDED)
        return;
    if (task->state == MQLUA_TASK_RUNNING) {
        task->cancelled = true;
        cancel_children(task);
        return;
    }
    mqlua_end end = {.outcome = MQLUA_CANCELLED};
    end_task(task, &end);
}

void mqlua_task_fail(mqlua_task *task, const char *message)
{
    if (task->state == MQLUA_TASK_PARKED)
        mqlua_task_end_failed(task, message);
    else if (task->state == MQLUA_TASK_RUNNING && !task->failure)
        task->failure = strdup(message);
}

/* Those that park meanwhile are in front of the list; the others are found behind them, as long as there are
 * not many. */
enum { PASSED_OVER = 1000 };

static mqlua_task *next_doomed(const mqlua_vm *vm)
{
    mqlua_task *task = vm->all;
    for (int i = 0; task && !(task->doomed && task->state == MQLUA_TASK_PARKED); task = task->next)
        if (++i == PASSED_OVER)
            return NULL;
    return task;
}

size_t mqlua_task_fail_all(mqlua_vm *vm, const char *message)
{
    size_t count = 0;
    for (mqlua_task *task = vm->all; task; task = task->next)
        task->doomed = true;
    for (mqlua_task *task; (task = next_doomed(vm)); count++)
        mqlua_task_fail(task, message);
    return count;
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
        luaL_error(L,
                   "%s cannot wait here: a policy that loads, 'initialize', 'cleanup' and 'context_*' run to "
                   "their end at once; use mq.spawn or mq.after inside an event",
                   function);
    if (!lua_isyieldable(L) || !lua_isyieldable(task->co))
        luaL_error(
            L,
            "%s cannot wait inside a callback that the Lua library calls (gsub, sort, require, load, a "
            "metamethod); collect first, then wait outside of it",
            function);
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
        mqlua_task_unlink(wait);
        if (wait->done)
            wait->done(wait);
        return;
    }
    task->woken = true;
    if (task->state == MQLUA_TASK_PARKED)
        mqlua_task_enqueue(task);
}

void mqlua_task_close(mqlua_vm *vm)
{
    vm->notify = NULL;
    while (vm->all)
        mqlua_task_cancel(vm->all);
    for (mqlua_task *task; (task = take_spare(vm));)
        free_task(task);
}
