/* SPDX-License-Identifier: MIT */
#pragma once

/* The inside of a vm, shared by its files only. */

#include "vm/blocks.h"
#include "vm/object.h"
#include "vm/task.h"
#include "vm/vm.h"

/* Coroutines that ended without an error are kept for the next task, up to this many. */
enum { MQLUA_SPARE_COROUTINES = 64 };

/* Types that a state knows, and where in its registry their metatables are: asked for with each object that is made. */
enum { MQLUA_TYPES = 64 };
typedef struct mqlua_known_type {
    const mqlua_type *type; /* NULL: free */
    int meta;
} mqlua_known_type;

typedef struct mqlua_coroutine {
    lua_State *co;
    int ref;
} mqlua_coroutine;

struct mqlua_vm {
    lua_State *L;
    mqlua_vm_limits limits;
    size_t used, peak;
    size_t large;     /* bytes in large blocks */
    size_t pace;      /* beyond this many bytes in use a full collection is due */
    mqlua_blocks blocks; /* that the state gave back */
    bool refused;     /* an allocation was, because of the cap */
    char *provision;  /* a block for where no allocation may fail; NULL: it was not needed */
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
    size_t charged;   /* steps that C counted since the clock was last looked at */
    void *owner;
    mqlua_known_type types[MQLUA_TYPES];

    /* tasks */
    mqlua_task *current;
    mqlua_task *all;         /* every task that has not ended */
    mqlua_task *ready, *ready_last;
    mqlua_task *free_tasks;  /* memory for the next ones */
    size_t count;
    char park_tag;           /* its address is what a parked coroutine yields: no script has that value */
    int body;                /* registry: function(handler, prepare) return handler(prepare()) end */
    mqlua_coroutine spare[MQLUA_SPARE_COROUTINES];
    int spares;
    bool notified;
    void (*notify)(void *ud);
    void *notify_ud;
};

/* Brackets every run of Lua; enter starts a new run with a fresh budget. They nest. */
void mqlua_vm_enter(mqlua_vm *vm);
void mqlua_vm_leave(mqlua_vm *vm);

/* After a run that failed and whose coroutine is gone, from outside: collects all garbage if that is due. */
void mqlua_vm_relieve(mqlua_vm *vm);

/* Between the two, memory cannot run out before some 30 KB: for what LuaJIT must not fail at half-way. provide is
 * false when that cannot be promised. */
bool mqlua_vm_provide(mqlua_vm *vm);
void mqlua_vm_provided(mqlua_vm *vm);

/* What is raised when the run-time budget is spent, without the place. */
enum { MQLUA_SPENT_TEXT = 64 };
void mqlua_vm_spent_text(const mqlua_vm *vm, char text[MQLUA_SPENT_TEXT]);

/* sandbox.c: opens the libraries that limits.allow permits. Raises. */
void mqlua_sandbox_open(lua_State *L, const mqlua_vm_limits *limits);

/* task.c: ends every task; frees their memory. */
void mqlua_task_close(mqlua_vm *vm);

/* task.c: is this the coroutine of the running task, and not one that its script made? */
bool mqlua_task_is(lua_State *L);

/* coroutine.c: one for a new task, with the registry reference that keeps it. False on lack of memory. give takes it back
 * (LUA_NOREF: nothing is done); reusable: it ended without an error. */
bool mqlua_coroutine_take(mqlua_vm *vm, lua_State **co, int *ref);
void mqlua_coroutine_give(mqlua_vm *vm, lua_State *co, int ref, bool reusable);

/* coroutine.c: replaces coroutine.*, pcall, xpcall and load, and makes vm->body. Raises. */
void mqlua_coroutine_open(lua_State *L);
