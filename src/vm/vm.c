/* SPDX-License-Identifier: MIT */

#include "vm/internal.h"
#include <luajit.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Instructions between two looks at the clock. Small, because one instruction can be a library call that
 * takes microseconds; the look itself costs some 50 ns. */
enum { HOOK_COUNT = 1000 };

/* Steps of C work between two looks at the clock. */
enum { CHARGE_STEPS = 20000 };

/* An allocation of this size is worth a look at the clock: strings of megabytes are made by single
 * instructions. */
enum { LARGE_ALLOCATION = 128 * 1024 };

/* Set-up in C may exceed the cap by this much. */
enum { RESERVE = 1024 * 1024 };

static double clock_seconds(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* The wall clock is cheap and never behind the thread's CPU time, which is what counts: a worker that
 * was not scheduled has not spent its budget. The run starts to count when this is first asked. */
static bool budget_spent(mqlua_vm *vm)
{
    if (vm->limits.budget <= 0)
        return false;
    double wall = clock_seconds(CLOCK_MONOTONIC);
    if (vm->timed != vm->run) {
        vm->timed = vm->run;
        vm->wall = wall;
        vm->cpu = clock_seconds(CLOCK_THREAD_CPUTIME_ID);
        return false;
    }
    if (wall - vm->wall < vm->limits.budget)
        return false;
    return clock_seconds(CLOCK_THREAD_CPUTIME_ID) - vm->cpu >= vm->limits.budget;
}

static void count_hook(lua_State *L, lua_Debug *ar);

/* From here on every instruction raises: pcall cannot swallow it. */
static void expire(mqlua_vm *vm)
{
    vm->expired = true;
    lua_sethook(vm->L, count_hook, LUA_MASKCOUNT, 1);
}

/* Looks at the clock where nothing may be raised: in the allocator. */
static bool too_late(mqlua_vm *vm)
{
    if (!vm->expired && budget_spent(vm))
        expire(vm);
    return vm->expired;
}

static void *allocate(void *ud, void *ptr, size_t old_size, size_t new_size)
{
    mqlua_vm *vm = ud;
    if (new_size == 0) {
        free(ptr);
        vm->used -= old_size;
        return NULL;
    }
    if (new_size > old_size) {
        size_t after = vm->used + (new_size - old_size);
        if (vm->limits.memory && vm->inside && after > vm->limits.memory + vm->reserve)
            return NULL;
        if (new_size >= LARGE_ALLOCATION && vm->inside && too_late(vm))
            return NULL;
    }
    void *memory = realloc(ptr, new_size);
    if (!memory)
        return NULL;
    vm->used += new_size - old_size;
    if (vm->used > vm->peak)
        vm->peak = vm->used;
    return memory;
}

static void raise_expired(lua_State *L, mqlua_vm *vm)
{
    expire(vm);
    luaL_where(L, 0);
    lua_pushfstring(L, "%srun-time budget of %d ms is spent", lua_tostring(L, -1),
                    (int)(vm->limits.budget * 1000 + 0.5));
    lua_error(L);
}

mqlua_vm *mqlua_vm_of(lua_State *L)
{
    void *vm;
    lua_getallocf(L, &vm);
    return vm;
}

void mqlua_vm_look(lua_State *L)
{
    mqlua_vm *vm = mqlua_vm_of(L);
    if (vm->inside && (vm->expired || budget_spent(vm)))
        raise_expired(L, vm);
}

static void count_hook(lua_State *L, lua_Debug *ar)
{
    mqlua_vm_look(L);
}

void mqlua_vm_charge(lua_State *L, size_t steps)
{
    mqlua_vm *vm = mqlua_vm_of(L);
    vm->charged += steps;
    if (vm->charged < CHARGE_STEPS)
        return;
    vm->charged = 0;
    mqlua_vm_look(L);
}

bool mqlua_vm_expired(const mqlua_vm *vm)
{
    return vm->expired;
}

void mqlua_vm_enter(mqlua_vm *vm)
{
    if (vm->inside++ == 0) {
        vm->run++;
        vm->expired = false;
    }
}

void mqlua_vm_leave(mqlua_vm *vm)
{
    if (--vm->inside == 0 && vm->expired) {
        vm->expired = false;
        lua_sethook(vm->L, count_hook, LUA_MASKCOUNT, HOOK_COUNT);
    }
}

typedef struct protected_call {
    lua_CFunction function;
    void *ud;
} protected_call;

static int l_traceback(lua_State *L)
{
    const char *message = lua_tostring(L, 1);
    if (message)
        luaL_traceback(L, L, message, 1);
    else if (!luaL_callmeta(L, 1, "__tostring"))
        lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
    return 1;
}

static int run_protected(lua_State *L)
{
    const protected_call *call = lua_touserdata(L, 1);
    lua_pushcfunction(L, l_traceback);
    lua_pushcfunction(L, call->function);
    lua_pushlightuserdata(L, call->ud);
    int status = lua_pcall(L, 1, 0, 2);
    if (status == LUA_ERRMEM)
        luaL_error(L, "not enough memory (the cap is %d KB)", (int)(mqlua_vm_of(L)->limits.memory / 1024));
    return status ? lua_error(L) : 0;
}

static int call_protected(mqlua_vm *vm, lua_CFunction function, void *ud, char **error)
{
    protected_call call = {function, ud};
    mqlua_task *current = vm->current;
    vm->current = NULL; /* what runs here is no task: it cannot wait */
    int top = lua_gettop(vm->L);
    mqlua_vm_enter(vm);
    int status = lua_cpcall(vm->L, run_protected, &call);
    mqlua_vm_leave(vm);
    vm->current = current;
    if (error) {
        const char *message = status && lua_type(vm->L, -1) == LUA_TSTRING ? lua_tostring(vm->L, -1) : NULL;
        *error = status ? strdup(message ? message : "not enough memory") : NULL;
    }
    lua_settop(vm->L, top);
    return status;
}

int mqlua_vm_call(mqlua_vm *vm, lua_CFunction function, void *ud, char **error)
{
    return call_protected(vm, function, ud, error);
}

int mqlua_vm_setup(mqlua_vm *vm, lua_CFunction function, void *ud, char **error)
{
    double budget = vm->limits.budget;
    vm->limits.budget = 0;
    vm->reserve = RESERVE;
    int status = call_protected(vm, function, ud, error);
    vm->reserve = 0;
    vm->limits.budget = budget;
    return status;
}

void mqlua_vm_set_budget(mqlua_vm *vm, double seconds)
{
    vm->limits.budget = seconds;
}

static int open_libraries(lua_State *L)
{
    mqlua_vm *vm = lua_touserdata(L, 1);
    mqlua_sandbox_open(L, &vm->limits);
    mqlua_task_open(L);
    return 0;
}

mqlua_vm *mqlua_vm_new(const mqlua_vm_limits *limits)
{
    mqlua_vm *vm = calloc(1, sizeof *vm);
    if (!vm)
        return NULL;
    vm->limits = *limits;
    vm->L = lua_newstate(allocate, vm);
    if (!vm->L) {
        free(vm);
        return NULL;
    }
    /* Before any Lua runs: where the system forbids new executable memory, the compiler would end the process. */
    if (!limits->jit)
        luaJIT_setmode(vm->L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    lua_sethook(vm->L, count_hook, LUA_MASKCOUNT, HOOK_COUNT);
    if (mqlua_vm_setup(vm, open_libraries, vm, NULL) != 0) {
        lua_close(vm->L);
        free(vm);
        return NULL;
    }
    return vm;
}

void mqlua_vm_free(mqlua_vm *vm)
{
    if (!vm)
        return;
    mqlua_task_close(vm);
    lua_close(vm->L);
    free(vm);
}

lua_State *mqlua_vm_state(mqlua_vm *vm)
{
    return vm->L;
}

void mqlua_vm_set_owner(mqlua_vm *vm, void *owner)
{
    vm->owner = owner;
}

void *mqlua_vm_owner(mqlua_vm *vm)
{
    return vm->owner;
}

size_t mqlua_vm_memory(const mqlua_vm *vm)
{
    return vm->used;
}

size_t mqlua_vm_peak(const mqlua_vm *vm)
{
    return vm->peak;
}

static int collect_all(lua_State *L)
{
    lua_gc(L, LUA_GCCOLLECT, 0);
    return 0;
}

static int collect_step(lua_State *L)
{
    lua_gc(L, LUA_GCSTEP, 20);
    return 0;
}

/* LuaJIT fails an allocation at the cap even when most of the heap is garbage. Collecting while the heap is
 * between three quarters and the whole of the cap keeps garbage from being the reason; not again before it
 * has grown by an eighth of the cap, or a policy with a large heap would collect at every event. */
void mqlua_vm_relieve(mqlua_vm *vm)
{
    size_t cap = vm->limits.memory;
    if (!cap || vm->used < cap / 4 * 3 || vm->used < vm->collected + cap / 8)
        return;
    mqlua_vm_setup(vm, collect_all, NULL, NULL);
    vm->collected = vm->used;
}

void mqlua_vm_idle(mqlua_vm *vm)
{
    mqlua_vm_setup(vm, collect_step, NULL, NULL);
}
