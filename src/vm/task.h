/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Tasks: Lua functions in coroutines that may wait. A task runs until it ends or parks; it parks by
 * calling a waiting function (mq.sleep, mq.wait, a socket), and goes on when somebody wakes it.
 *
 * This file parks and resumes; it never waits and knows no clock. All of it belongs to the vm's thread.
 * Tasks are resumed only from the loop, never from inside Lua: a wake from inside Lua is kept until
 * mqlua_task_run_ready.
 */

#include "vm/vm.h"

typedef struct mqlua_task mqlua_task;

/* One thing that a task waits for; embedded in the waiter's own struct, which must stay where it is
 * until cancel or done has run. */
typedef struct mqlua_wait {
    mqlua_task *task;                        /* NULL: nobody waits (any more) */
    void (*cancel)(struct mqlua_wait *wait); /* the task ended first: let go of everything */
    lua_CFunction push; /* pushes the results when woken; lua_touserdata(L, 1) == wait; may raise */
    void (*done)(
        struct mqlua_wait *wait);   /* after push ran (or failed): release what the wait held; may be NULL */
    struct mqlua_wait *next, *prev; /* the waits of one task, or the queue of woken ones */
} mqlua_wait;

/* What a clean-up list holds: run in reverse order when the task ends, whichever way. */
typedef struct mqlua_cleanup {
    void (*run)(struct mqlua_cleanup *cleanup);
    struct mqlua_cleanup *next;
} mqlua_cleanup;

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
 * memory cap holds; mqlua_task_data gives it ud). ended(…, ud) is called exactly once: before this function
 * returns when the handler never waits (then NULL is returned), else later. A task that could not be started
 * ends with MQLUA_FAILED. Not from inside Lua. */
mqlua_task *mqlua_task_start(mqlua_vm *vm, int handler, int prepare, mqlua_ended ended, void *ud);

/* The same where the arguments are there already: count registry references, at most 8. Saves a protected
 * call. */
mqlua_task *mqlua_task_start_with(mqlua_vm *vm, int handler, const int *arguments, int count,
                                  mqlua_ended ended, void *ud);

/* From inside Lua: a task that runs function (at index) when the loop comes round; parent (NULL: none)
 * cancels it when it ends. Raises on lack of memory. */
mqlua_task *mqlua_task_spawn(lua_State *L, int index, mqlua_task *parent, mqlua_ended ended, void *ud);

/* The task that is running in vm, or NULL (loading, checking, set-up). */
mqlua_task *mqlua_task_current(mqlua_vm *vm);
void *mqlua_task_data(mqlua_task *task);
bool mqlua_task_parked(const mqlua_task *task);
/* What it is parked on; NULL: nothing. */
const mqlua_wait *mqlua_task_waits_on(const mqlua_task *task);

/* Ends a task that is parked or not yet started: waits are cancelled, children first, clean-ups run in
 * reverse order, ended is called with MQLUA_CANCELLED. A running task is cancelled as soon as it parks. Never
 * raises. */
void mqlua_task_cancel(mqlua_task *task);

/* Ends a parked task as if the waiting function had raised message. */
void mqlua_task_fail(mqlua_task *task, const char *message);

/* The same for all that are parked, but not for what parks meanwhile. How
 * many ended. */
size_t mqlua_task_fail_all(mqlua_vm *vm, const char *message);

/* Adds to the clean-up list of the running task; remove before releasing by hand. */
void mqlua_task_defer(mqlua_task *task, mqlua_cleanup *cleanup);
void mqlua_task_undefer(mqlua_task *task, mqlua_cleanup *cleanup);

/* Raises unless the caller could wait here; function is the name for the message ("mq.sleep"). Call it before
 * acquiring anything. */
void mqlua_task_check(lua_State *L, const char *function);

/* The last thing that a waiting C function does: return mqlua_task_park(L, wait). wait->push, cancel and done
 * are set. Call mqlua_task_check first. */
int mqlua_task_park(lua_State *L, mqlua_wait *wait);

/* What was waited for is there. Safe from inside and outside Lua; the task is queued and resumed by
 * mqlua_task_run_ready. Does nothing when nobody waits any more. */
void mqlua_task_wake(mqlua_wait *wait);

/* Resumes what was woken or spawned. From the loop only. True when something ran. */
bool mqlua_task_run_ready(mqlua_vm *vm);

/* Called (once per need) when something became ready and run_ready should be called soon from the loop. */
void mqlua_task_set_notify(mqlua_vm *vm, void (*notify)(void *ud), void *ud);

/* Parked and queued tasks in vm. */
size_t mqlua_task_count(const mqlua_vm *vm);
