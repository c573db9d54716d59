/* SPDX-License-Identifier: MIT */
#pragma once

/* The inside of a vm, shared by its files only. */

#include "vm/blocks.h"
#include "vm/object.h"
#include "vm/task.h"
#include "vm/vm.h"

/* Tasks that ended without an error are kept with their coroutine for the next ones, up to this many. */
enum { MQLUA_SPARE_TASKS = 64 };

/* Types that a state knows, and where in its registry their metatables are: asked for with each object that
 * is made. */
enum { MQLUA_TYPES = 64 };
typedef struct mqlua_known_type {
    const mqlua_type *type; /* NULL: free */
    int meta;
} mqlua_known_type;

/* Places in the registry that were given back: taking one of them is one call of Lua, where luaL_ref needs
 * six. */
typedef struct mqlua_places {
    int *list; /* malloc'ed */
    size_t count, room;
} mqlua_places;

struct mqlua_vm {
    lua_State *L;
    mqlua_vm_limits limits;
    size_t used;         /* bytes */
    size_t large;        /* bytes in large blocks */
    size_t pace;         /* beyond this many bytes in use a full collection is due */
    mqlua_blocks blocks; /* that the state gave back */
    mqlua_places places;
    bool refused;                            /* an allocation was, because of the cap */
    void (*crowded)(void *ud, bool refused); /* see mqlua_vm_set_crowded; NULL: nobody asks */
    void *crowded_ud;
    char *provision; /* a block for where no allocation may fail; NULL: it was not needed */
    size_t provision_used;
    bool provision_open;
    size_t reserve;   /* what set-up may use beyond the cap */
    int hook_count;   /* instructions between two calls of the hook */
    int inside;       /* Lua runs: the limits hold */
    bool expired;     /* the run-time budget of this run is spent */
    uint64_t run;     /* serial of the current run */
    uint64_t timed;   /* the run that wall and cpu belong to */
    double wall, cpu; /* seconds, when the hook first fired in that run */
    const atomic_bool *stop;
    size_t charged; /* steps that C counted since the clock was last looked at */
    size_t files;   /* that io has open */
    void *owner;
    mqlua_known_type types[MQLUA_TYPES];

    /* tasks */
    mqlua_task *current;
    mqlua_task *all; /* every task that is parked or queued */
    mqlua_task *ready, *ready_last;
    mqlua_task *spare; /* for the next ones */
    int spares;
    size_t count;
    char park_tag; /* its address is what a parked coroutine yields: no script has that value */
    bool notified;
    void (*notify)(void *ud);
    void *notify_ud;
};

typedef enum mqlua_task_state {
    MQLUA_TASK_NEW,
    MQLUA_TASK_RUNNING,
    MQLUA_TASK_PARKED,
    MQLUA_TASK_ENDED,
} mqlua_task_state;

struct mqlua_task {
    mqlua_vm *vm;
    lua_State *co;
    int ref; /* keeps co alive */
    mqlua_task_state state;
    bool queued, cancelled, listed;
    bool doomed;      /* mqlua_task_fail_all is at work */
    bool woken;       /* wait is there */
    mqlua_wait *wait; /* the one it is parked on */
    mqlua_wait
        *waits; /* every wait that was not finished, also those whose park failed in a script's coroutine */
    char *failure; /* mqlua_task_fail: malloc'ed */
    mqlua_cleanup *cleanups;
    mqlua_task *parent, *children, *sibling;
    mqlua_ended ended;
    void *ud;
    mqlua_task *next, *prev; /* vm->all, when listed; vm->spare */
    mqlua_task *ready_next;
};

/* Brackets every run of Lua; enter starts a new run with a fresh budget. They nest. */
static inline void mqlua_vm_enter(mqlua_vm *vm)
{
    if (vm->inside++ == 0)
        vm->run++;
}

void mqlua_vm_renew(mqlua_vm *vm); /* the run was one that spent its budget */

static inline void mqlua_vm_leave(mqlua_vm *vm)
{
    if (--vm->inside == 0 && vm->expired)
        mqlua_vm_renew(vm);
}

/* After a run that failed and whose coroutine is gone, from outside: collects all garbage if that is due. */
void mqlua_vm_relieve(mqlua_vm *vm);

/* Between the two, memory cannot run out before some 30 KB: for what LuaJIT must not fail at half-way.
 * provide is false when that cannot be promised. */
bool mqlua_vm_provide(mqlua_vm *vm);
void mqlua_vm_provided(mqlua_vm *vm);

/* What is raised when the run-time budget is spent, without the place. */
enum { MQLUA_SPENT_TEXT = 64 };
void mqlua_vm_spent_text(const mqlua_vm *vm, char text[MQLUA_SPENT_TEXT]);

/* sandbox.c: opens the libraries that limits.allow permits. Raises. */
void mqlua_sandbox_open(lua_State *L, const mqlua_vm_limits *limits);

/* task.c: with what is on top of its stack. The task may be gone afterwards. */
void mqlua_task_resume(mqlua_task *task, int nargs);
/* Ends it as if it had raised message. */
void mqlua_task_end_failed(mqlua_task *task, const char *message);
/* The task waits for it no more. */
void mqlua_task_unlink(mqlua_wait *wait);

/* ready.c: for mqlua_task_run_ready; not twice. */
void mqlua_task_enqueue(mqlua_task *task);
void mqlua_task_unqueue(mqlua_task *task);

/* task.c: ends every task; frees their memory. */
void mqlua_task_close(mqlua_vm *vm);

/* task.c: is this the coroutine of the running task, and not one that its script made? */
bool mqlua_task_is(lua_State *L);

/* coroutine.c: one for a new task, with the registry reference that keeps it. False on lack of memory. */
bool mqlua_coroutine_make(mqlua_vm *vm, lua_State **co, int *ref);

/* coroutine.c: replaces coroutine.*, pcall, xpcall and load. Raises. */
void mqlua_coroutine_open(lua_State *L);
