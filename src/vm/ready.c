/* SPDX-License-Identifier: MIT */

/* Tasks whose turn it is: woken ones, with what they waited for, and new ones. */

#include "vm/vm_internal.h"
#include <stdlib.h>

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

void mqlua_task_turn(mqlua_piece *piece)
{
    mqlua_task *task = (mqlua_task *)(void *)((char *)piece - offsetof(mqlua_task, piece));
    if (mqlua_task_doomed(task))
        mqlua_task_cancel(task);
    else if (task->state == MQLUA_TASK_NEW)
        mqlua_task_resume(task, 0);
    else if (task->woken)
        resume_woken(task);
}

mqlua_lane *mqlua_task_lane(mqlua_vm *vm)
{
    return &vm->lane;
}

void mqlua_task_attach(mqlua_vm *vm, mqlua_lanes *lanes)
{
    if (vm->lane.lanes) {
        mqlua_lane_detach(&vm->lane);
        mqlua_lane_detach(&vm->end_lane);
    }
    if (lanes) {
        mqlua_lane_attach(&vm->lane, lanes);
        mqlua_lane_attach(&vm->end_lane, lanes);
    }
}
