/* SPDX-License-Identifier: MIT */
#pragma once

/* The inside of a vm, shared by its files only. */

#include "base/lanes.h"
#include "vm/blocks.h"
#include "vm/object.h"
#include "vm/task.h"
#include "vm/vm.h"

/* Tasks that ended without an error are kept with their coroutine for the next ones, up to this many. */
enum { MQLUA_SPARE_TASKS = 64 };

/* A task that a task spawned may spawn one, and so on, this often: whether one of those above has ended is
 * looked at before each resume. */
enum { MQLUA_TASK_DEPTH = 200 };

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

/* What a vm knows of copies that it gave and received: vm/copy.c. */
typedef struct mqlua_copies {
    int numbers;    /* registry: tables of it that were copied -> their numbers; 0: none */
    int known;      /* registry: numbers of tables of others -> the copies here; 0: none */
    size_t spoiled; /* bytes, about, that were made for copies that failed then */
    size_t waste;   /* those of them that may not be collected yet */
} mqlua_copies;

struct mqlua_vm {
    lua_State *L;
    mqlua_vm_limits limits;
    size_t used;         /* bytes */
    size_t large;        /* bytes in large blocks */
    size_t pace;         /* beyond this many bytes in use a full collection is due */
    mqlua_blocks blocks; /* that the state gave back */
    mqlua_places places;
    mqlua_copies copies;
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
    double busy;      /* seconds: see mqlua_vm_take_busy */
    const atomic_bool *stop;
    size_t charged; /* steps that C counted since the clock was last looked at */
    size_t files;   /* that io has open */
    void *owner;
    mqlua_known_type types[MQLUA_TYPES];

    /* tasks */
    mqlua_task *current;
    LIST_HEAD(, mqlua_task) all;      /* every task that waits, is to be started, or has something left */
    TAILQ_HEAD(, mqlua_task) remains; /* tasks that have ended, and whose children or mq.defer have not */
    SLIST_HEAD(, mqlua_task) spare;   /* for the next ones */
    int spares;
    size_t count;                    /* of all */
    mqlua_lane lane;                 /* of tasks that belong to nobody in particular */
    mqlua_lane end_lane;             /* of reaper */
    mqlua_piece reaper;              /* works off remains */
    bool ending;                     /* all tasks are to end */
    LIST_HEAD(, mqlua_task) failing; /* of all: mqlua_task_fail_all has not come to them */
    char *fail_message;              /* malloc'ed */
    double defers_end; /* a moment, after which no function of mq.defer runs any more; 0: never */
    void (*defer_failed)(mqlua_vm *vm, const char *error);
    char park_tag; /* its address is what a parked coroutine yields: no script has that value */
};

typedef enum mqlua_task_state {
    MQLUA_TASK_NEW,
    MQLUA_TASK_RUNNING,
    MQLUA_TASK_PARKED,
    MQLUA_TASK_ENDED,
} mqlua_task_state;

struct mqlua_task {
    mqlua_vm *vm;
    lua_State *co; /* NULL: a group, or one that has ended */
    int ref;       /* keeps co alive */
    mqlua_task_state state;
    bool cancelled, listed;
    bool woken;        /* wait is there */
    bool remains;      /* it is in vm->remains */
    mqlua_piece piece; /* to be started or resumed */
    mqlua_lane *lane;  /* for piece */
    mqlua_wait *wait;  /* the one it is parked on */
    mqlua_waits waits; /* all that were not finished, also those whose park failed in a script's coroutine */
    char *failure;     /* mqlua_task_fail: malloc'ed */
    int *defers;       /* registry references to the functions of mq.defer; malloc'ed */
    int defer_count, defer_room;
    int depth;
    mqlua_task *parent;
    LIST_HEAD(, mqlua_task) children;
    LIST_ENTRY(mqlua_task) sibling;
    mqlua_ended ended;
    void *ud;
    LIST_ENTRY(mqlua_task) all;
    TAILQ_ENTRY(mqlua_task) remain;
    SLIST_ENTRY(mqlua_task) spare;
};

/* Brackets every run of Lua; enter starts a new run with a fresh budget. They nest. */
static inline void mqlua_vm_enter(mqlua_vm *vm)
{
    if (vm->inside++ == 0)
        vm->run++;
}

/* The run was timed: what it took is added to busy. */
void mqlua_vm_add_busy(mqlua_vm *vm);

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
void mqlua_task_list(mqlua_task *task);
/* Takes it off its lists and frees it. */
void mqlua_task_bury(mqlua_task *task);

/* ready.c: the piece of a task that is to be started or was woken. */
void mqlua_task_turn(mqlua_piece *piece);

/* remains.c: runs functions of mq.defer, until all have or they took too long. */
void mqlua_defers_run(mqlua_task *task);
/* A task that has ended, with its results read; what is left of it is worked off later. */
void mqlua_remains_add(mqlua_task *task);
/* Before the first task: the lists are empty. */
void mqlua_remains_open(mqlua_vm *vm);
/* Ends every task; frees their memory. */
void mqlua_remains_close(mqlua_vm *vm);

/* task.c: is this the coroutine of the running task, and not one that its script made? */
bool mqlua_task_is(lua_State *L);

/* coroutine.c: one for a new task, with the registry reference that keeps it. False on lack of memory. */
bool mqlua_coroutine_make(mqlua_vm *vm, lua_State **co, int *ref);

/* coroutine.c: replaces coroutine.*, pcall, xpcall and load. Raises. */
void mqlua_coroutine_open(lua_State *L);
