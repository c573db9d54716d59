/* SPDX-License-Identifier: MIT */

/* What is left of tasks that have ended: the tasks that they spawned, and the functions of mq.defer. A client
 * that leaves can end any number of tasks, so this is worked off in pieces. */

#include "base/time.h"
#include "vm/vm_internal.h"
#include "vm/refs.h"
#include <stdlib.h>
#include <string.h>

/* Seconds: how long one piece of this work takes, but for a function of mq.defer that takes longer. */
static const double PIECE = 0.002;

/* Seconds that all functions of mq.defer may take together when a vm is closed. */
static const double CLOSING = 1;

/* ---- functions of mq.defer ---- */

static bool grow(mqlua_task *task)
{
    int room = task->defer_room ? task->defer_room * 2 : 4;
    int *defers = realloc(task->defers, (size_t)room * sizeof *defers);
    if (!defers)
        return false;
    task->defers = defers;
    task->defer_room = room;
    return true;
}

void mqlua_task_defer(lua_State *L, int index)
{
    mqlua_task *task = mqlua_vm_of(L)->current;
    if (!task)
        luaL_error(L,
                   "mq.defer belongs to a task: call it in a handler or in a function of mq.spawn, mq.after "
                   "or mq.every");
    if (task->defer_count == MQLUA_DEFERS)
        luaL_error(L, "mq.defer: a task can have %d functions, and one function can undo several things",
                   MQLUA_DEFERS);
    if (task->defer_count == task->defer_room && !grow(task))
        luaL_error(L, "not enough memory");
    lua_pushvalue(L, index);
    task->defers[task->defer_count] = mqlua_refs_add(L);
    task->defer_count++;
}

void mqlua_task_set_defer_failed(mqlua_vm *vm, void (*failed)(mqlua_vm *vm, const char *error))
{
    vm->defer_failed = failed;
}

static int call_function(lua_State *L)
{
    const int *function = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, *function);
    lua_call(L, 0, 0);
    return 0;
}

static void failed(mqlua_vm *vm, const char *error)
{
    if (vm->defer_failed)
        vm->defer_failed(vm, error ? error : "not enough memory");
}

static void run_last(mqlua_task *task)
{
    mqlua_vm *vm = task->vm;
    char *error = NULL;
    int function = task->defers[--task->defer_count];
    if (vm->defers_end > 0 && mqlua_time_now() >= vm->defers_end)
        failed(vm, "there is no time left for it: the policy is being closed");
    else if (mqlua_vm_call(vm, call_function, &function, &error))
        failed(vm, error);
    free(error);
    mqlua_refs_drop(vm, function);
}

void mqlua_defers_run(mqlua_task *task)
{
    double end = mqlua_time_now() + PIECE;
    do
        run_last(task);
    while (task->defer_count && mqlua_time_now() < end);
}

/* ---- in pieces ---- */

void mqlua_remains_add(mqlua_task *task)
{
    mqlua_vm *vm = task->vm;
    mqlua_refs_drop(vm, task->ref);
    task->ref = LUA_NOREF;
    task->co = NULL;
    mqlua_task_list(task);
    task->remains = true;
    TAILQ_INSERT_TAIL(&vm->remains, task, remain);
    mqlua_lane_add(&vm->end_lane, &vm->reaper);
}

/* One of those that mqlua_task_fail_all found. */
static bool fail_one(mqlua_vm *vm)
{
    mqlua_task *task = LIST_FIRST(&vm->failing);
    if (!task)
        return false;
    LIST_REMOVE(task, all);
    LIST_INSERT_HEAD(&vm->all, task, all);
    if (task->state == MQLUA_TASK_PARKED)
        mqlua_task_fail(task, vm->fail_message ? vm->fail_message : "not enough memory");
    return true;
}

static mqlua_task *next(mqlua_vm *vm)
{
    mqlua_task *task = TAILQ_FIRST(&vm->remains);
    if (!task && vm->ending)
        task = LIST_FIRST(&vm->all);
    while (task && !LIST_EMPTY(&task->children))
        task = LIST_FIRST(&task->children);
    return task;
}

/* Ends one task, or runs one function. False: nothing is left. */
static bool work_off(mqlua_vm *vm)
{
    if (fail_one(vm))
        return true;
    mqlua_task *task = next(vm);
    if (!task)
        return false;
    if (task->state != MQLUA_TASK_ENDED) {
        mqlua_task_cancel(task);
        return true;
    }
    mqlua_vm_relieve(vm);
    if (task->defer_count)
        run_last(task);
    if (!task->defer_count)
        mqlua_task_bury(task);
    return true;
}

static void work_off_some(mqlua_piece *piece)
{
    mqlua_vm *vm = (mqlua_vm *)(void *)((char *)piece - offsetof(mqlua_vm, reaper));
    double end = mqlua_time_now() + PIECE;
    while (work_off(vm)) {
        if (mqlua_time_now() >= end) {
            mqlua_lane_add(&vm->end_lane, piece);
            return;
        }
    }
}

void mqlua_remains_open(mqlua_vm *vm)
{
    TAILQ_INIT(&vm->remains);
    vm->reaper.run = work_off_some;
}

void mqlua_task_cancel_all(mqlua_vm *vm)
{
    vm->ending = true;
    mqlua_lane_add(&vm->end_lane, &vm->reaper);
}

size_t mqlua_task_fail_all(mqlua_vm *vm, const char *message)
{
    size_t count = 0;
    mqlua_task *task, *following;
    free(vm->fail_message);
    vm->fail_message = strdup(message);
    LIST_FOREACH_SAFE(task, &vm->all, all, following)
    {
        if (task->state != MQLUA_TASK_PARKED)
            continue;
        LIST_REMOVE(task, all);
        LIST_INSERT_HEAD(&vm->failing, task, all);
        count++;
    }
    mqlua_lane_add(&vm->end_lane, &vm->reaper);
    return count;
}

void mqlua_remains_close(mqlua_vm *vm)
{
    vm->ending = true;
    vm->defers_end = mqlua_time_now() + CLOSING;
    while (work_off(vm))
        continue;
    mqlua_piece_remove(&vm->reaper);
    mqlua_task_attach(vm, NULL);
    free(vm->fail_message);
    vm->fail_message = NULL;
    for (mqlua_task *task; (task = SLIST_FIRST(&vm->spare));) {
        SLIST_REMOVE_HEAD(&vm->spare, spare);
        vm->spares--;
        mqlua_task_bury(task);
    }
}
