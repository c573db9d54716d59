/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One Lua state with its limits. A vm belongs to one worker and one generation; it is used by one
 * thread at a time and knows neither mail nor MailerQ.
 *
 * Limits: memory (bytes, enforced while Lua runs inside a task or a protected call) and run time
 * (seconds between two waits, enforced by a count hook). Once the run-time budget is spent, every
 * further instruction raises again, so that no pcall of a script can swallow it.
 */

#include "vm/files.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <lua.h>
#include <lauxlib.h>
#include <lualib.h>

/* What a policy may use beyond the safe libraries; bits of mqlua_vm_limits.allow. */
enum {
    MQLUA_ALLOW_OS_EXIT = 1 << 0,
    MQLUA_ALLOW_OS_EXECUTE = 1 << 1,
    MQLUA_ALLOW_IO_POPEN = 1 << 2,
    MQLUA_ALLOW_OS_SETLOCALE = 1 << 3,
    MQLUA_ALLOW_DEBUG = 1 << 4,
    MQLUA_ALLOW_JIT = 1 << 5,
    MQLUA_ALLOW_FFI = 1 << 6,
    MQLUA_ALLOW_CMODULES = 1 << 7,
    MQLUA_ALLOW_BYTECODE = 1 << 8,
};

typedef struct mqlua_vm_limits {
    size_t memory;     /* bytes; 0: no limit */
    double budget;     /* seconds of run time between waits; 0: no limit */
    int values;        /* that C makes at once of one value of a script; 0: no limit */
    size_t bytes;      /* of the texts in them; 0: no limit */
    bool jit;          /* the JIT compiler is on */
    unsigned allow;    /* MQLUA_ALLOW_* */
    mqlua_files files; /* where io reads and writes */
} mqlua_vm_limits;

typedef struct mqlua_vm mqlua_vm;

/* A new state with the safe libraries (sandbox.c) open. NULL when memory or the state cannot be
 * had; nothing is left behind then. The vm is owned by the caller. */
mqlua_vm *mqlua_vm_new(const mqlua_vm_limits *limits);

/* Closes the state; every task of it is cancelled first. Must not be called from inside Lua. */
void mqlua_vm_free(mqlua_vm *vm);

/* The vm that a Lua state or any of its coroutines belongs to. Never fails, never raises. */
mqlua_vm *mqlua_vm_of(lua_State *L);

/* The main state of the vm. Anything that may raise must run through mqlua_vm_call. */
lua_State *mqlua_vm_state(mqlua_vm *vm);

/* Borrowed; the budget may be that of loading. */
const mqlua_vm_limits *mqlua_vm_limits_of(const mqlua_vm *vm);

/* One pointer for whoever uses the vm; borrowed. */
void mqlua_vm_set_owner(mqlua_vm *vm, void *owner);
void *mqlua_vm_owner(mqlua_vm *vm);

/* Runs function(L) with lua_touserdata(L, 1) == ud, protected, with the limits on, from outside Lua.
 * 0, or a LUA_ERR* status, and then *error (if not NULL) is the message (with a traceback where one
 * could be made) in a malloc'ed string that the caller frees; NULL when even that failed. What
 * function leaves on the stack is dropped. Waiting inside raises. */
int mqlua_vm_call(mqlua_vm *vm, lua_CFunction function, void *ud, char **error);

/* As mqlua_vm_call, for set-up in C that must not trip over what a script used up: the run-time budget
 * is off and the memory cap is exceeded by a reserve at most. */
int mqlua_vm_setup(mqlua_vm *vm, lua_CFunction function, void *ud, char **error);

/* As mqlua_vm_setup, for what is done at every message: an error has no traceback, which would only name C
 * functions. */
int mqlua_vm_store(mqlua_vm *vm, lua_CFunction function, void *ud, char **error);

/* As mqlua_vm_store, with a run-time budget of its own: for what is as large as a script made it. */
int mqlua_vm_finish(mqlua_vm *vm, lua_CFunction function, void *ud, char **error);

/* Counts work that C does for a script (steps: roughly one per byte or element looked at) against the
 * run-time budget. Raises when it is spent. To be called from inside Lua only. */
void mqlua_vm_charge(lua_State *L, size_t steps);

/* The same, with a look at the clock now. */
void mqlua_vm_look(lua_State *L);

/* Looks at the clock where nothing may be raised: true when the budget is spent. Then mqlua_vm_look raises.
 */
bool mqlua_vm_late(mqlua_vm *vm);

/* True when the run-time budget of the current run is spent; errors must then be let through. */
bool mqlua_vm_expired(const mqlua_vm *vm);

/* Pushes the ffi module, for Lua code of ours that keeps it to itself: scripts get it only when it is
 * allowed. Raises on lack of stack. */
void mqlua_vm_push_ffi(lua_State *L);

/* The seconds that tasks ran since the last call; runs that were too short for a look at the clock (1,000
 * instructions) do not count. */
double mqlua_vm_take_busy(mqlua_vm *vm);

/* Pushes where the script is, "policy.lua:12: ", whatever function of ours it has called; "" when it is
 * nowhere.
 */
void mqlua_vm_push_place(lua_State *L);

/* Bytes in use by the state. */
size_t mqlua_vm_memory(const mqlua_vm *vm);

/* Collects all garbage. Not from inside Lua. */
void mqlua_vm_collect(mqlua_vm *vm);

/* The part of the memory cap that is free when a state is not yet crowded. */
enum { MQLUA_VM_ROOM = 8 };

/* crowded(ud, true) is called when the cap refused an allocation, and crowded(ud, false) when a full
 * collection left less than 1 / MQLUA_VM_ROOM of the cap. It may be called inside the allocator: it sets
 * flags and does nothing else. crowded NULL: nobody asks. */
void mqlua_vm_set_crowded(mqlua_vm *vm, void (*crowded)(void *ud, bool refused), void *ud);

/* Ends every task, and leaves nothing to run: before another thread frees the vm. Not from inside Lua. */
void mqlua_vm_stop(mqlua_vm *vm);

/* While *flag (borrowed; NULL: none) is true, whatever runs ends as if its budget were spent. */
void mqlua_vm_set_stop(mqlua_vm *vm, const atomic_bool *flag);

/* Changes the run-time budget (seconds), for loading, which may take longer than an event. */
void mqlua_vm_set_budget(mqlua_vm *vm, double seconds);
