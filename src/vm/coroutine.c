/* SPDX-License-Identifier: MIT */

/* The coroutines that tasks run in, and what a policy has in place of coroutine.*, pcall, xpcall and load. */

#include "vm/vm_internal.h"
#include "vm/refs.h"
#include "vm/stack.h"

/* ---- for tasks ---- */

typedef struct coroutine {
    lua_State *co;
    int ref;
} coroutine;

static int make(lua_State *L)
{
    coroutine *made = lua_touserdata(L, 1);
    made->co = lua_newthread(L);
    made->ref = mqlua_refs_add(L);
    return 0;
}

bool mqlua_coroutine_make(mqlua_vm *vm, lua_State **co, int *ref)
{
    coroutine made;
    if (mqlua_vm_setup(vm, make, &made, NULL))
        return false;
    *co = made.co;
    *ref = made.ref;
    return true;
}

/* ---- for policies ----
 *
 * A script's own coroutine may wait as well: what it yields then carries the park tag, and each resume on the
 * way down passes it on to the scheduler and the answer back up. */

static const char coroutine_source[] =
    "local park, resume, yield, create, running, is_task, error, raw_pcall, raw_xpcall, guard, caught = ...\n"
    "local waiting = setmetatable({}, {__mode = 'k'})\n"
    "local function pass(co, ok, tag, ...)\n"
    "  if ok and tag == park then\n"
    "    waiting[co] = true\n"
    "    return pass(co, resume(co, yield(park)))\n"
    "  end\n"
    "  return ok, tag, ...\n"
    "end\n"
    /* While it waits, a coroutine is 'suspended' for LuaJIT; nobody but the scheduler may resume it. */
    "local function leave(co, ok, ...)\n"
    "  waiting[co] = nil\n"
    "  return ok, ...\n"
    "end\n"
    "local function unwrap(ok, ...)\n"
    "  if ok then return ... end\n"
    "  error((...), 0)\n"
    "end\n"
    "function coroutine.resume(co, ...)\n"
    "  if waiting[co] then return false, 'cannot resume a coroutine that waits' end\n"
    "  return leave(co, pass(co, resume(co, ...)))\n"
    "end\n"
    "function coroutine.wrap(f)\n"
    "  local co = create(f)\n"
    "  return function(...)\n"
    "    if waiting[co] then error('cannot resume a coroutine that waits', 2) end\n"
    "    return unwrap(leave(co, pass(co, resume(co, ...))))\n"
    "  end\n"
    "end\n"
    /* The only way to that of a task, which the scheduler alone resumes, for this task and those after it. */
    "function coroutine.running()\n"
    "  local co = running()\n"
    "  if is_task() then waiting[co] = true end\n"
    "  return co\n"
    "end\n"
    "function coroutine.yield(...)\n"
    "  if is_task() then error('attempt to yield from outside a coroutine (to wait, use mq.sleep)', 2) end\n"
    "  return yield(...)\n"
    "end\n"
    /* That of the coroutine would stay in it for the next tasks. */
    "local setfenv, tonumber = setfenv, tonumber\n"
    "function _G.setfenv(f, ...)\n"
    "  local level = tonumber(f)\n"
    "  if level and level < 1 then error('only functions can be given another environment', 2) end\n"
    "  return setfenv(f, ...)\n" /* a tail call: level 1 is still who called */
    "end\n"
    "local function finish(ok, ...)\n"
    "  if ok then return ok, ... end\n"
    "  caught()\n"
    "  return ok, ...\n"
    "end\n"
    "function pcall(f, ...)\n"
    "  return finish(raw_pcall(f, ...))\n"
    "end\n"
    /* load catches what its reader raises, and leaves LuaJIT believing that a hook is still running when it
     * was the hook that raised; an error in pcall ends that. */
    "local load = load\n"
    "local function loaded(f, ...)\n"
    "  if f then return f, ... end\n"
    "  raw_pcall(error)\n"
    "  caught()\n"
    "  return f, ...\n"
    "end\n"
    "function _G.load(...)\n"
    "  return loaded(load(...))\n"
    "end\n"
    "function xpcall(f, handler, ...)\n"
    "  return finish(raw_xpcall(f, guard(handler), ...))\n"
    "end\n";

static int l_is_task(lua_State *L)
{
    lua_pushboolean(L, mqlua_task_is(L));
    return 1;
}

/* xpcall calls its handler while the hook that raised is still active: no hook would ever fire inside it. So
 * when the budget is spent, the script's handler does not run. */
static int l_guarded_handler(lua_State *L)
{
    if (mqlua_vm_of(L)->expired)
        return 1;
    mqlua_stack_check(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

static int l_guard(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_settop(L, 1);
    lua_pushcclosure(L, l_guarded_handler, 1);
    return 1;
}

/* An error was caught. At the end of a Lua stack no hook has room, so a script that catches one stack
 * overflow after the other (a function that calls itself twice, once of them by pcall) would never meet the
 * budget there. */
static int l_caught(lua_State *L)
{
    mqlua_vm_look(L);
    return 0;
}

static void push_member(lua_State *L, const char *library, const char *name)
{
    lua_getglobal(L, library);
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
}

void mqlua_coroutine_open(lua_State *L)
{
    mqlua_vm *vm = mqlua_vm_of(L);
    if (luaL_loadbuffer(L, coroutine_source, sizeof coroutine_source - 1, "=coroutine"))
        lua_error(L);
    lua_pushlightuserdata(L, &vm->park_tag);
    push_member(L, "coroutine", "resume");
    push_member(L, "coroutine", "yield");
    push_member(L, "coroutine", "create");
    push_member(L, "coroutine", "running");
    lua_pushcfunction(L, l_is_task);
    lua_getglobal(L, "error");
    lua_getglobal(L, "pcall");
    lua_getglobal(L, "xpcall");
    lua_pushcfunction(L, l_guard);
    lua_pushcfunction(L, l_caught);
    lua_call(L, 11, 0);
}
