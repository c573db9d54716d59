/* SPDX-License-Identifier: MIT */

#include "vm/explain.h"
#include "vm/vm_internal.h"
#include "vm/stack.h"
#include <luajit.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Instructions between two looks at the clock. Small, because one instruction can be a library call that
 * takes microseconds; the look itself costs some 50 ns. */
enum { HOOK_COUNT = 1000, HOOK_COUNT_LEAST = 10 };

/* Calls of ours that may stand between the place where the budget is spent and the script. */
enum { PLACE_LEVELS = 10 };

/* Steps of C work between two looks at the clock. */
enum { CHARGE_STEPS = 20000 };

/* An allocation of this size is worth a look at the clock: strings of megabytes are made by single
 * instructions. */
enum { LARGE_ALLOCATION = 128 * 1024 };

/* A string that is there already is copied and compared without an allocation (s:sub(1), s .. ""). So the
 * instructions between two looks, times the bytes in large blocks, shall not be more than this: some 30 ms
 * where every fifth instruction goes over all of them. */
enum { LARGE_WORK = 1000 * 1000 * 1000 };

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
    if (vm->stop && atomic_load_explicit(vm->stop, memory_order_relaxed))
        return true;
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

static void count_hook(lua_State *L, lua_Debug *ar)
{
    mqlua_vm_look(L);
}

static int hook_count(const mqlua_vm *vm)
{
    if (vm->expired || vm->used > vm->pace)
        return 1;
    if (vm->large <= LARGE_WORK / HOOK_COUNT)
        return HOOK_COUNT;
    size_t count = LARGE_WORK / vm->large;
    return count > HOOK_COUNT_LEAST ? (int)count : HOOK_COUNT_LEAST;
}

/* May be called from the allocator. */
static void set_hook(mqlua_vm *vm)
{
    int count = hook_count(vm);
    if (count == vm->hook_count)
        return;
    vm->hook_count = count;
    lua_sethook(vm->L, count_hook, LUA_MASKCOUNT, count);
}

/* From here on every instruction raises: pcall cannot swallow it. */
static void expire(mqlua_vm *vm)
{
    vm->expired = true;
    set_hook(vm);
}

/* Looks at the clock where nothing may be raised: in the allocator. */
static bool too_late(mqlua_vm *vm)
{
    if (!vm->expired && budget_spent(vm))
        expire(vm);
    return vm->expired;
}

/* ---- the provision: memory that is there even when there is none ---- */

enum { PROVISION = 64 * 1024 };

static bool is_provision(const mqlua_vm *vm, const void *ptr)
{
    return vm->provision && (const char *)ptr >= vm->provision &&
           (const char *)ptr < vm->provision + PROVISION;
}

static void *take_provision(mqlua_vm *vm, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    if (!vm->provision_open || size > PROVISION - vm->provision_used)
        return NULL;
    vm->provision_used += size;
    return vm->provision + vm->provision_used - size;
}

static void release(mqlua_vm *vm, void *ptr, size_t size)
{
    if (ptr && !is_provision(vm, ptr) && !mqlua_blocks_keep(&vm->blocks, ptr, size))
        free(ptr);
}

static void *resize(mqlua_vm *vm, void *ptr, size_t old_size, size_t new_size)
{
    if (ptr && mqlua_blocks_fits(old_size, new_size) && !is_provision(vm, ptr))
        return ptr;
    void *memory = mqlua_blocks_take(&vm->blocks, new_size);
    if (!memory) {
        bool moves = is_provision(vm, ptr);
        memory = realloc(moves ? NULL : ptr, mqlua_blocks_round(new_size));
        if (memory && !moves)
            return memory;
        if (!memory && new_size <= old_size) /* LuaJIT relies on blocks that shrink */
            return ptr;
        if (!memory)
            memory = take_provision(vm, new_size);
    }
    if (memory && ptr) {
        memcpy(memory, ptr, old_size < new_size ? old_size : new_size);
        release(vm, ptr, old_size);
    }
    return memory;
}

bool mqlua_vm_provide(mqlua_vm *vm)
{
    if (!vm->provision)
        vm->provision = malloc(PROVISION);
    vm->provision_open = vm->provision && vm->provision_used <= PROVISION / 2;
    return vm->provision_open;
}

void mqlua_vm_provided(mqlua_vm *vm)
{
    vm->provision_open = false;
    if (vm->provision_used)
        return;
    free(vm->provision);
    vm->provision = NULL;
}

/* ---- the allocator ---- */

static void tell_crowded(const mqlua_vm *vm, bool refused)
{
    if (vm->crowded)
        vm->crowded(vm->crowded_ud, refused);
}

static size_t if_large(size_t size)
{
    return size >= LARGE_ALLOCATION ? size : 0;
}

static __attribute__((noinline)) void *allocate_any(mqlua_vm *vm, void *ptr, size_t old_size, size_t new_size)
{
    if (new_size == 0) {
        release(vm, ptr, old_size);
        vm->used -= old_size;
        vm->large -= if_large(old_size);
        return NULL;
    }
    if (new_size > old_size) {
        size_t after = vm->used + (new_size - old_size);
        if (vm->limits.memory && vm->inside && !vm->provision_open &&
            after > vm->limits.memory + vm->reserve) {
            vm->refused = true;
            tell_crowded(vm, true);
            vm->pace = 0;
            set_hook(vm);
            return NULL;
        }
        if (new_size >= LARGE_ALLOCATION && vm->inside && too_late(vm))
            return NULL;
    }
    void *memory = resize(vm, ptr, old_size, new_size);
    if (!memory)
        return NULL;
    vm->used += new_size - old_size;
    vm->large += if_large(new_size) - if_large(old_size);
    if (new_size > old_size && (vm->used > vm->pace || new_size >= LARGE_ALLOCATION) &&
        hook_count(vm) < vm->hook_count)
        set_hook(vm);
    return memory;
}

/* Nearly always a small block comes or goes, and neither the cap nor the pace is near: that is done here. */
static void *allocate(void *ud, void *ptr, size_t old_size, size_t new_size)
{
    mqlua_vm *vm = ud;
    size_t after = vm->used + new_size;
    if (!ptr && new_size && after <= vm->pace && (after <= vm->limits.memory || !vm->limits.memory)) {
        void *memory = mqlua_blocks_take(&vm->blocks, new_size);
        if (memory) {
            vm->used = after;
            return memory;
        }
    } else if (ptr && !new_size && !vm->provision && mqlua_blocks_keep(&vm->blocks, ptr, old_size)) {
        vm->used -= old_size;
        return NULL;
    }
    return allocate_any(vm, ptr, old_size, new_size);
}

void mqlua_vm_spent_text(const mqlua_vm *vm, char text[MQLUA_SPENT_TEXT])
{
    snprintf(text, MQLUA_SPENT_TEXT, "run-time budget of %d ms is spent",
             (int)(vm->limits.budget * 1000 + 0.5));
}

void mqlua_vm_push_place(lua_State *L)
{
    lua_Debug at;
    for (int level = 0; level < PLACE_LEVELS && lua_getstack(L, level, &at); level++) {
        lua_getinfo(L, "Sl", &at);
        if (at.source[0] == '@' && at.currentline > 0) { /* a file; what is ours begins with '=' */
            lua_pushfstring(L, "%s:%d: ", at.short_src, at.currentline);
            return;
        }
    }
    lua_pushliteral(L, "");
}

static void raise_expired(lua_State *L, mqlua_vm *vm)
{
    char text[MQLUA_SPENT_TEXT];
    expire(vm);
    mqlua_vm_spent_text(vm, text);
    mqlua_vm_push_place(L);
    lua_pushfstring(L, "%s%s", lua_tostring(L, -1), text);
    lua_error(L);
}

/* LuaJIT paces its collector by the size of the heap after the last round and by small fixed steps, and fails
 * an allocation at the cap even when most of the heap is garbage. So a full round is due when half of the
 * room that the last one left is used up, and when the cap was hit. Not before another sixteenth of the cap
 * is used up, or a policy whose live data nearly fills the cap would do nothing else. */
static void collect(lua_State *L, mqlua_vm *vm)
{
    size_t cap = vm->limits.memory;
    lua_gc(L, LUA_GCCOLLECT, 0);
    mqlua_blocks_free(&vm->blocks);
    size_t room = vm->used < cap ? (cap - vm->used) / 2 : 0;
    vm->pace = vm->used + (room > cap / 16 ? room : cap / 16);
    if (cap && room < cap / MQLUA_VM_ROOM / 2)
        tell_crowded(vm, false);
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
    if (vm->used > vm->pace)
        collect(L, vm);
    set_hook(vm);
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

bool mqlua_vm_late(mqlua_vm *vm)
{
    return vm->inside && too_late(vm);
}

void mqlua_vm_add_busy(mqlua_vm *vm)
{
    vm->busy += clock_seconds(CLOCK_MONOTONIC) - vm->wall;
}

double mqlua_vm_take_busy(mqlua_vm *vm)
{
    double busy = vm->busy;
    vm->busy = 0;
    return busy;
}

bool mqlua_vm_expired(const mqlua_vm *vm)
{
    return vm->expired;
}

void mqlua_vm_renew(mqlua_vm *vm)
{
    vm->expired = false;
    set_hook(vm);
}

typedef struct protected_call {
    lua_CFunction function;
    void *ud;
} protected_call;

#define MEMORY_TEXT "not enough memory (the cap is %d KB)"

static int l_traceback(lua_State *L)
{
    lua_settop(L, 1);
    const char *message = mqlua_explain(L);
    if (strcmp(message, "not enough memory") == 0) { /* a library function, which knows no cap */
        lua_pushfstring(L, MEMORY_TEXT, (int)(mqlua_vm_of(L)->limits.memory / 1024));
        message = lua_tostring(L, -1);
    }
    luaL_traceback(L, L, message, 1);
    return 1;
}

static int run_protected(lua_State *L)
{
    const protected_call *call = lua_touserdata(L, 1);
    lua_pushcfunction(L, l_traceback);
    lua_pushcfunction(L, call->function);
    lua_pushlightuserdata(L, call->ud);
    int status = lua_pcall(L, 1, 0, 2);
    if (status == LUA_ERRMEM && mqlua_vm_of(L)->expired)
        raise_expired(L, mqlua_vm_of(L));
    if (status == LUA_ERRMEM)
        luaL_error(L, MEMORY_TEXT, (int)(mqlua_vm_of(L)->limits.memory / 1024));
    return status ? lua_error(L) : 0;
}

/* The message on top of the stack, malloc'ed; NULL when there is no memory for it. */
static char *error_text(const mqlua_vm *vm, int status, bool expired)
{
    char spent[MQLUA_SPENT_TEXT];
    if (expired && status == LUA_ERRMEM) {
        mqlua_vm_spent_text(vm, spent);
        return strdup(spent);
    }
    char *text;
    if (status == LUA_ERRMEM && vm->limits.memory) /* there was none for Lua to say so */
        return asprintf(&text, MEMORY_TEXT, (int)(vm->limits.memory / 1024)) < 0 ? NULL : text;
    return strdup(lua_type(vm->L, -1) == LUA_TSTRING ? lua_tostring(vm->L, -1) : "not enough memory");
}

static int call_protected(mqlua_vm *vm, lua_CFunction function, void *ud, char **error)
{
    mqlua_task *current = vm->current;
    vm->current = NULL; /* what runs here is no task: it cannot wait */
    int top = lua_gettop(vm->L);
    mqlua_vm_enter(vm);
    int status = lua_cpcall(vm->L, function, ud);
    bool expired = vm->expired;
    mqlua_vm_leave(vm);
    vm->current = current;
    if (error)
        *error = status ? error_text(vm, status, expired) : NULL;
    lua_settop(vm->L, top);
    return status;
}

int mqlua_vm_call(mqlua_vm *vm, lua_CFunction function, void *ud, char **error)
{
    return call_protected(vm, run_protected, &(protected_call){function, ud}, error);
}

int mqlua_vm_setup(mqlua_vm *vm, lua_CFunction function, void *ud, char **error)
{
    return mqlua_vm_store(vm, run_protected, &(protected_call){function, ud}, error);
}

int mqlua_vm_finish(mqlua_vm *vm, lua_CFunction function, void *ud, char **error)
{
    vm->reserve = RESERVE;
    int status = call_protected(vm, function, ud, error);
    vm->reserve = 0;
    return status;
}

int mqlua_vm_store(mqlua_vm *vm, lua_CFunction function, void *ud, char **error)
{
    double budget = vm->limits.budget;
    vm->limits.budget = 0;
    int status = mqlua_vm_finish(vm, function, ud, error);
    vm->limits.budget = budget;
    return status;
}

void mqlua_vm_stop(mqlua_vm *vm)
{
    mqlua_remains_close(vm);
}

void mqlua_vm_set_stop(mqlua_vm *vm, const atomic_bool *flag)
{
    vm->stop = flag;
}

void mqlua_vm_set_budget(mqlua_vm *vm, double seconds)
{
    vm->limits.budget = seconds;
}

static int open_libraries(lua_State *L)
{
    mqlua_vm *vm = lua_touserdata(L, 1);
    mqlua_sandbox_open(L, &vm->limits);
    mqlua_coroutine_open(L);
    return 0;
}

mqlua_vm *mqlua_vm_new(const mqlua_vm_limits *limits)
{
    mqlua_vm *vm = calloc(1, sizeof *vm);
    if (!vm)
        return NULL;
    vm->limits = *limits;
    mqlua_remains_open(vm);
    vm->pace = limits->memory ? limits->memory / 2 : SIZE_MAX;
    vm->L =
        mqlua_vm_provide(vm) ? lua_newstate(allocate, vm) : NULL; /* LuaJIT crashes when it fails half-way */
    mqlua_vm_provided(vm);
    if (!vm->L) {
        mqlua_blocks_free(&vm->blocks);
        free(vm->provision);
        free(vm);
        return NULL;
    }
    /* Before any Lua runs: where the system forbids new executable memory, the compiler would end the
     * process. */
    if (!limits->jit)
        luaJIT_setmode(vm->L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    set_hook(vm);
    if (mqlua_vm_setup(vm, open_libraries, vm, NULL) != 0) {
        mqlua_vm_free(vm);
        return NULL;
    }
    return vm;
}

void mqlua_vm_free(mqlua_vm *vm)
{
    if (!vm)
        return;
    mqlua_remains_close(vm);
    lua_close(vm->L);
    mqlua_blocks_free(&vm->blocks);
    free(vm->places.list);
    free(vm->provision);
    free(vm);
}

lua_State *mqlua_vm_state(mqlua_vm *vm)
{
    return vm->L;
}

const mqlua_vm_limits *mqlua_vm_limits_of(const mqlua_vm *vm)
{
    return &vm->limits;
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

static int collect_all(lua_State *L)
{
    collect(L, mqlua_vm_of(L));
    return 0;
}

void mqlua_vm_collect(mqlua_vm *vm)
{
    vm->refused = false;
    mqlua_vm_setup(vm, collect_all, NULL, NULL);
}

void mqlua_vm_relieve(mqlua_vm *vm)
{
    if (vm->refused || vm->used > vm->pace)
        mqlua_vm_collect(vm);
}

void mqlua_vm_set_crowded(mqlua_vm *vm, void (*crowded)(void *ud, bool refused), void *ud)
{
    vm->crowded = crowded;
    vm->crowded_ud = ud;
}
