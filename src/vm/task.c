/* SPDX-License-Identifier: MIT */

#include "vm/explain.h"
#include "vm/vm_internal.h"
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
        task->piece.run = mqlua_task_turn;
    }
    return task;
}

/* One that ended, with the coroutine it had: nothing else is left in it. NULL: there is none. */
static mqlua_task *take_spare(mqlua_vm *vm)
{
    mqlua_task *task = SLIST_FIRST(&vm->spare);
    if (task) {
        SLIST_REMOVE_HEAD(&vm->spare, spare);
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

void mqlua_task_list(mqlua_task *task)
{
    if (task->listed)
        return;
    task->listed = true;
    LIST_INSERT_HEAD(&task->vm->all, task, all);
    task->vm->count++;
}

static void unlist(mqlua_task *task)
{
    task->listed = false;
    LIST_REMOVE(task, all);
    task->vm->count--;
}

static void leave_parent(mqlua_task *task)
{
    if (!task->parent)
        return;
    LIST_REMOVE(task, sibling);
    task->parent = NULL;
    task->depth = 0;
}

static void free_task(mqlua_task *task)
{
    mqlua_refs_drop(task->vm, task->ref);
    free(task->failure);
    free(task->defers);
    free(task);
}

void mqlua_task_bury(mqlua_task *task)
{
    if (task->remains)
        TAILQ_REMOVE(&task->vm->remains, task, remain);
    leave_parent(task);
    if (task->listed)
        unlist(task);
    free_task(task);
}

void mqlua_task_unlink(mqlua_wait *wait)
{
    mqlua_task *task = wait->task;
    LIST_REMOVE(wait, link);
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
    f->text = strdup(mqlua_explain(L));
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
    const char *message = f->text;
    if (!message && lua_isstring(co, -1)) {
        size_t size;
        const char *text = lua_tolstring(co, -1, &size);
        lua_pushlstring(L, text, size);
        message = mqlua_explain_line(L, -1);
    } else if (!message) {
        message = lua_pushfstring(L, "(error object is a %s value)", lua_typename(co, lua_type(co, -1)));
    }
    luaL_traceback(L, co, message, 0);
    free(f->text);
    f->text = strdup(lua_tostring(L, -1));
    return 0;
}

static void cancel_waits(mqlua_task *task)
{
    for (mqlua_wait *wait; (wait = LIST_FIRST(&task->waits));) {
        mqlua_task_unlink(wait);
        wait->cancel(wait);
    }
}

/* True when something of it remains: then it is not freed. What runs now must have an end of its own, and
 * room for it: inside Lua the budget is that of whoever is running, and at the memory cap the task's own
 * garbage has to go first. */
static bool release(mqlua_task *task)
{
    const mqlua_vm *vm = task->vm;
    cancel_waits(task);
    mqlua_piece_remove(&task->piece);
    if (!LIST_EMPTY(&task->children))
        return true;
    if (task->defer_count && !vm->inside && !vm->refused)
        mqlua_defers_run(task);
    if (task->defer_count)
        return true;
    leave_parent(task);
    return false;
}

static bool holds_something(const mqlua_task *task)
{
    return !LIST_EMPTY(&task->children) || !LIST_EMPTY(&task->waits) || task->defer_count ||
           task->piece.lane || task->parent;
}

/* True when the caller is to free it, or to keep it as a spare one. */
static inline __attribute__((always_inline)) bool finish(mqlua_task *task, const mqlua_end *end)
{
    task->state = MQLUA_TASK_ENDED;
    bool remains = holds_something(task) && release(task);
    if (task->ended)
        task->ended(task, end, task->ud);
    if (remains)
        mqlua_remains_add(task);
    else if (task->listed)
        unlist(task);
    return !remains;
}

/* It returned: it can be the next one. */
static bool end_done(mqlua_task *task)
{
    mqlua_vm *vm = task->vm;
    mqlua_end end = {.outcome = MQLUA_DONE, .co = task->co, .nresults = lua_gettop(task->co)};
    if (!finish(task, &end))
        return true;
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
    SLIST_INSERT_HEAD(&vm->spare, task, spare);
    vm->spares++;
    return true;
}

static void end_task(mqlua_task *task, const mqlua_end *end)
{
    mqlua_vm *vm = task->vm;
    if (finish(task, end))
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
    if (!f.message && lua_gettop(task->co) && !lua_isstring(task->co, -1))
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
    mqlua_task_list(task);
    if (task->woken)
        mqlua_lane_add(task->lane, &task->piece);
    return false;
}

/* Where a run left a task that did not return: parked, failed, or to be cancelled. True when it has ended. */
static bool settle(mqlua_task *task, int status, bool expired)
{
    if (status == LUA_YIELD && yielded_to_park(task->co)) {
        lua_settop(task->co, 0);
        task->state = MQLUA_TASK_PARKED;
        if (task->cancelled || mqlua_task_doomed(task))
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
    if (vm->timed == vm->run)
        mqlua_vm_add_busy(vm);
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
static inline __attribute__((always_inline)) mqlua_task *make(mqlua_vm *vm, mqlua_lane *lane,
                                                              mqlua_ended ended, void *ud)
{
    mqlua_task *task = take_spare(vm);
    if (!task && !(task = new_task(vm))) {
        end_unmade(vm, ended, ud);
        return NULL;
    }
    task->lane = lane;
    task->ended = ended;
    task->ud = ud;
    return task;
}

mqlua_task *mqlua_task_start(mqlua_vm *vm, mqlua_lane *lane, int handler, int prepare, mqlua_ended ended,
                             void *ud)
{
    mqlua_task *task = make(vm, lane, ended, ud);
    if (!task)
        return NULL;
    lua_rawgeti(task->co, LUA_REGISTRYINDEX, handler);
    if (!prepare)
        return resume(task, 0) ? NULL : task;
    lua_rawgeti(task->co, LUA_REGISTRYINDEX, prepare);
    return resume(task, PREPARE) ? NULL : task;
}

mqlua_task *mqlua_task_start_with(mqlua_vm *vm, mqlua_lane *lane, int handler, const int *arguments,
                                  int count, mqlua_ended ended, void *ud)
{
    mqlua_task *task = make(vm, lane, ended, ud);
    if (!task)
        return NULL;
    lua_rawgeti(task->co, LUA_REGISTRYINDEX, handler);
    for (int i = 0; i < count; i++)
        lua_rawgeti(task->co, LUA_REGISTRYINDEX, arguments[i]);
    return resume(task, count) ? NULL : task;
}

static mqlua_task *make_inside(lua_State *L)
{
    mqlua_vm *vm = mqlua_vm_of(L);
    mqlua_task *task = take_spare(vm);
    if (task)
        return task;
    lua_State *co = lua_newthread(L);
    int ref = mqlua_refs_add(L);
    task = make_task(vm, co, ref);
    if (!task) {
        mqlua_refs_drop(vm, ref);
        luaL_error(L, "not enough memory");
    }
    return task;
}

mqlua_task *mqlua_task_spawn(lua_State *L, int index, mqlua_lane *lane, mqlua_task *parent, mqlua_ended ended,
                             void *ud)
{
    mqlua_vm *vm = mqlua_vm_of(L);
    if (parent && parent->depth == MQLUA_TASK_DEPTH)
        luaL_error(L, "a task that was spawned by a task, and so on, %d times: spawn them from one of them",
                   MQLUA_TASK_DEPTH);
    mqlua_task *task = make_inside(L);
    task->lane = lane ? lane : vm->current ? vm->current->lane : &vm->lane;
    task->ended = ended;
    task->ud = ud;
    lua_pushvalue(L, index);
    lua_xmove(L, task->co, 1);
    if (parent) {
        task->depth = parent->depth + 1;
        task->parent = parent;
        LIST_INSERT_HEAD(&parent->children, task, sibling);
    }
    mqlua_task_list(task);
    mqlua_lane_add(task->lane, &task->piece);
    return task;
}

mqlua_task *mqlua_task_group(mqlua_vm *vm)
{
    mqlua_task *group = make_task(vm, NULL, LUA_NOREF);
    if (group)
        group->state = MQLUA_TASK_PARKED;
    return group;
}

bool mqlua_task_has_children(const mqlua_task *task)
{
    return !LIST_EMPTY(&task->children);
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

bool mqlua_task_doomed(const mqlua_task *task)
{
    if (task->vm->ending)
        return true;
    for (const mqlua_task *above = task->parent; above; above = above->parent)
        if (above->state == MQLUA_TASK_ENDED || above->cancelled)
            return true;
    return false;
}

void mqlua_task_cancel(mqlua_task *task)
{
    mqlua_end end = {.outcome = MQLUA_CANCELLED};
    if (task->state == MQLUA_TASK_RUNNING)
        task->cancelled = true;
    else if (task->state != MQLUA_TASK_ENDED)
        end_task(task, &end);
}

void mqlua_task_fail(mqlua_task *task, const char *message)
{
    if (task->state == MQLUA_TASK_PARKED)
        mqlua_task_end_failed(task, message);
    else if (task->state == MQLUA_TASK_RUNNING && !task->failure)
        task->failure = strdup(message);
}

/* ---- waiting ---- */

/* Raises with the place of the script's call, whichever function of the library it went through. */
static void refuse(lua_State *L, const char *format, const char *function)
{
    mqlua_vm_push_place(L);
    lua_pushfstring(L, format, function);
    lua_concat(L, 2);
    lua_error(L);
}

bool mqlua_task_can_wait(lua_State *L)
{
    const mqlua_task *task = mqlua_vm_of(L)->current;
    return task && lua_isyieldable(L) && lua_isyieldable(task->co);
}

void mqlua_task_check(lua_State *L, const char *function)
{
    const mqlua_task *task = mqlua_vm_of(L)->current;
    if (!task)
        refuse(L,
               "%s cannot wait here: a policy that loads, 'initialize', 'cleanup', 'context_*' and functions "
               "of mq.defer run to their end at once; use mq.spawn or mq.after inside an event",
               function);
    else if (!lua_isyieldable(L) || !lua_isyieldable(task->co))
        refuse(L,
               "%s cannot wait inside a callback that the Lua library calls (gsub, sort, require, load, a "
               "metamethod); collect first, then wait outside of it",
               function);
}

int mqlua_task_park(lua_State *L, mqlua_wait *wait)
{
    mqlua_vm *vm = mqlua_vm_of(L);
    mqlua_task *task = vm->current;
    wait->task = task;
    LIST_INSERT_HEAD(&task->waits, wait, link);
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
        mqlua_lane_add(task->lane, &task->piece);
}
