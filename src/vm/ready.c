/* SPDX-License-Identifier: MIT */

/* The tasks that the loop resumes when it comes round: woken ones, with what they waited for, and new ones.
 */

#include "vm/internal.h"
#include <stdlib.h>

/* A task for a task of nobody: at most this many are resumed in one turn of the loop. */
enum { READY_BATCH = 10000 };

void mqlua_task_enqueue(mqlua_task *task)
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

void mqlua_task_unqueue(mqlua_task *task)
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
    mqlua_task_unlink(wait);
    if (wait->done)
        wait->done(wait);
    if (status)
        mqlua_task_end_failed(task, error ? error : "not enough memory");
    else
        mqlua_task_resume(task, d.count);
    free(error);
}

bool mqlua_task_run_ready(mqlua_vm *vm)
{
    bool ran = false;
    vm->notified = false;
    for (int i = 0; i < READY_BATCH && vm->ready; i++) {
        mqlua_task *task = dequeue(vm);
        ran = true;
        if (task->state == MQLUA_TASK_NEW)
            mqlua_task_resume(task, 0);
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
