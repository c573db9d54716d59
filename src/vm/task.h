/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Tasks: Lua functions in coroutines that may wait. A task runs until it ends or parks; it parks by
 * calling a waiting function (mq.sleep, mq.wait, a socket), and goes on when somebody wakes it.
 *
 * This file parks and resumes; it never waits. All of it belongs to the vm's thread. Tasks are resumed only
 * from the loop, never from inside Lua: what was woken or spawned is a piece in the lane of its task
 * (base/lanes.h), and runs when that lane has its turn.
 *
 * The end of a task: it lets go of what it waits for, and ended is called. Tasks that it spawned are never
 * resumed from that moment on; they end, and functions of mq.defer run, at once where there are few, and else
 * bit by bit in a lane of the vm's own, so that no end takes longer than a piece may. Children end before
 * their parent's functions of mq.defer run.
 */

#include "base/lanes.h"
#include "vm/vm.h"

typedef struct mqlua_task mqlua_task;

/* One thing that a task waits for; embedded in the waiter's own struct, which must stay where it is
 * until cancel or done has run. */
typedef struct mqlua_wait {
    mqlua_task *task;                        /* NULL: nobody waits (any more) */
    void (*cancel)(struct mqlua_wait *wait); /* the task ended first: let go of everything */
    lua_CFunction push; /* pushes the results when woken; lua_touserdata(L, 1) == wait; may raise */
    void (*done)(
        struct mqlua_wait *wait); /* after push ran (or failed): release what the wait held; may be NULL */
    LIST_ENTRY(mqlua_wait) link;  /* task->waits */
} mqlua_wait;

typedef LIST_HEAD(mqlua_waits, mqlua_wait) mqlua_waits;

typedef enum mqlua_outcome {
    MQLUA_DONE,      /* returned; its values are on top of co's stack */
    MQLUA_FAILED,    /* raised; error is the message with traceback */
    MQLUA_CANCELLED, /* mqlua_task_cancel */
} mqlua_outcome;

typedef struct mqlua_end {
    mqlua_outcome outcome;
    lua_State *co; /* MQLUA_DONE: nresults values on top; MQLUA_FAILED: what was raised on top, or NULL when
                      nothing was. Read them without allocating */
    int nresults;
    const char *error; /* MQLUA_FAILED: message and traceback; good until the callback returns */
    enum { MQLUA_ERROR_SCRIPT, MQLUA_ERROR_BUDGET, MQLUA_ERROR_MEMORY } kind;
} mqlua_end;

typedef void (*mqlua_ended)(mqlua_task *task, const mqlua_end *end, void *ud);

/* Runs handler (a registry reference to a function) in a coroutine: handler(prepare(...)), where prepare
 * is a registry reference to a C function that pushes the arguments, inside the task (it may raise, the
 * memory cap holds; mqlua_task_data gives it ud); 0: no arguments. When it has waited it goes on in lane,
 * which outlives it; so do the tasks that it spawns. ended(…, ud) is called exactly once: before this
 * function returns when the handler never waits (then NULL is returned), else later. A task that could not be
 * started ends with MQLUA_FAILED. Not from inside Lua. */
mqlua_task *mqlua_task_start(mqlua_vm *vm, mqlua_lane *lane, int handler, int prepare, mqlua_ended ended,
                             void *ud);

/* The same where the arguments are there already: count registry references, at most 8. Saves a protected
 * call. */
mqlua_task *mqlua_task_start_with(mqlua_vm *vm, mqlua_lane *lane, int handler, const int *arguments,
                                  int count, mqlua_ended ended, void *ud);

/* From inside Lua: a task that runs function (at index) when its lane has its turn; parent (NULL: none)
 * cancels it when it ends. lane NULL: that of the running task, or the vm's. Raises on lack of memory. */
mqlua_task *mqlua_task_spawn(lua_State *L, int index, mqlua_lane *lane, mqlua_task *parent, mqlua_ended ended,
                             void *ud);

/* A parent for tasks that have none, which runs nothing itself: mqlua_task_cancel ends all of its children,
 * and the group. Must come before the vm is freed. NULL on lack of memory. */
mqlua_task *mqlua_task_group(mqlua_vm *vm);
bool mqlua_task_has_children(const mqlua_task *task);

/* The task that is running in vm, or NULL (loading, checking, set-up). */
mqlua_task *mqlua_task_current(mqlua_vm *vm);
void *mqlua_task_data(mqlua_task *task);
bool mqlua_task_parked(const mqlua_task *task);
/* What it is parked on; NULL: nothing. */
const mqlua_wait *mqlua_task_waits_on(const mqlua_task *task);

/* True when it will never run again, although it may not have ended yet: a task that it belongs to has. */
bool mqlua_task_doomed(const mqlua_task *task);

/* Ends a task that is parked or not yet started: see above; ended is called with MQLUA_CANCELLED. A running
 * task is cancelled as soon as it parks. Never raises. */
void mqlua_task_cancel(mqlua_task *task);

/* Cancels every task of vm, bit by bit: mqlua_task_count says how many are left. */
void mqlua_task_cancel_all(mqlua_vm *vm);

/* Ends a parked task as if the waiting function had raised message. */
void mqlua_task_fail(mqlua_task *task, const char *message);

/* The same for all that are parked, bit by bit; those that are resumed before their turn go on. How many
 * there are. */
size_t mqlua_task_fail_all(mqlua_vm *vm, const char *message);

/* From inside a task: the function at index runs when the task ends, whichever way, last added first. It may
 * not wait and has a run-time budget of its own. Raises when there is no task, beyond MQLUA_DEFERS of them,
 * and on lack of memory. */
enum { MQLUA_DEFERS = 100 };
void mqlua_task_defer(lua_State *L, int index);

/* Is told of each such function that fails. */
void mqlua_task_set_defer_failed(mqlua_vm *vm, void (*failed)(mqlua_vm *vm, const char *error));

/* Raises unless the caller could wait here; function is the name for the message ("mq.sleep"). Call it before
 * acquiring anything. */
void mqlua_task_check(lua_State *L, const char *function);

/* Whether mqlua_task_check would let it. */
bool mqlua_task_can_wait(lua_State *L);

/* The last thing that a waiting C function does: return mqlua_task_park(L, wait). wait->push, cancel and done
 * are set. Call mqlua_task_check first. */
int mqlua_task_park(lua_State *L, mqlua_wait *wait);

/* What was waited for is there. Safe from inside and outside Lua; the task goes on when its lane has its
 * turn. Does nothing when nobody waits any more. */
void mqlua_task_wake(mqlua_wait *wait);

/* The lane of tasks that belong to nobody in particular. */
mqlua_lane *mqlua_task_lane(mqlua_vm *vm);

/* Whose turns the vm's own lanes take part in. What became ready before waits until then. NULL: nobody's any
 * more. */
void mqlua_task_attach(mqlua_vm *vm, mqlua_lanes *lanes);

/* Tasks of vm that are parked, are to be started, or have not ended completely. */
size_t mqlua_task_count(const mqlua_vm *vm);
