/* SPDX-License-Identifier: MIT */

/* The libraries that a policy sees: what could end the process, reach outside the limits or run code
 * that nobody wrote as text is not there unless the settings allow it. */

#include "vm/bytes.h"
#include "vm/files.h"
#include "vm/heavy.h"
#include "vm/internal.h"
#include "vm/pairs.h"
#include "vm/pattern.h"
#include "vm/refs.h"
#include <luajit.h>
#include <string.h>

typedef struct removal {
    unsigned allow; /* kept when the settings allow this; 0: never there */
    const char *library;
    const char *name;
} removal;

static const removal removals[] = {
    {MQLUA_ALLOW_OS_EXIT, "os", "exit"},
    {MQLUA_ALLOW_OS_EXECUTE, "os", "execute"},
    {MQLUA_ALLOW_OS_SETLOCALE, "os", "setlocale"},
    {MQLUA_ALLOW_IO_POPEN, "io", "popen"},
    {MQLUA_ALLOW_CMODULES, "package", "loadlib"},
    {MQLUA_ALLOW_BYTECODE, "string", "dump"},
    {0, "_G", "newproxy"}, /* its finalizers would run without limits */
    {0, "_G", "loadfile"}, /* code comes from the bundle only */
    {0, "_G", "dofile"},
    {0, NULL, NULL},
};

static void remove_members(lua_State *L, unsigned allow)
{
    for (const removal *r = removals; r->library; r++) {
        if (r->allow & allow)
            continue;
        lua_getglobal(L, r->library);
        lua_pushnil(L);
        lua_setfield(L, -2, r->name);
        lua_pop(L, 1);
    }
}

/* debug.getinfo without C functions that are found on the stack: those that ours wrap (pcall, xpcall,
 * coroutine.resume) would run without limits. Upvalue: the original. */
static int l_getinfo(lua_State *L)
{
    int level = lua_isthread(L, 1) ? 2 : 1;
    bool own_stack = level == 1 && lua_isnumber(L, 1);
    if (own_stack) { /* this function is one level more */
        lua_pushinteger(L, lua_tointeger(L, 1) + (lua_tointeger(L, 1) >= 0));
        lua_replace(L, 1);
    }
    bool on_stack = lua_isnumber(L, level);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 1);
    if (!on_stack || !lua_istable(L, -1))
        return 1;
    lua_getfield(L, -1, "func");
    if (lua_iscfunction(L, -1)) {
        lua_pushnil(L);
        lua_setfield(L, -3, "func");
    }
    lua_pop(L, 1);
    return 1;
}

/* debug shrinks to what cannot change anything. */
static void shrink_debug(lua_State *L)
{
    lua_getglobal(L, "debug");
    lua_createtable(L, 0, 2);
    lua_getfield(L, -2, "traceback");
    lua_setfield(L, -2, "traceback");
    lua_getfield(L, -2, "getinfo");
    lua_pushcclosure(L, l_getinfo, 1);
    lua_setfield(L, -2, "getinfo");
    lua_setglobal(L, "debug");
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getglobal(L, "debug");
    lua_setfield(L, -2, "debug");
    lua_pop(L, 2);
}

/* load and loadstring take text only, whatever mode the script asks for. */
static const char text_only_source[] =
    "local load, select, loadstring = load, select, loadstring\n"
    "function _G.load(chunk, name, mode, ...)\n"
    "  if select('#', ...) > 0 then return load(chunk, name, 't', (...)) end\n"
    "  return load(chunk, name, 't')\n"
    "end\n"
    "function _G.loadstring(text, name) return load(text, name, 't') end\n"
    "local collect = collectgarbage\n"
    "local harmless = {count = true, step = true, collect = true}\n"
    "function _G.collectgarbage(option, n)\n"
    "  option = option or 'collect'\n"
    "  if not harmless[option] then\n"
    "    error(\"collectgarbage('\" .. tostring(option) .. \"') is not available to policies\", 2)\n"
    "  end\n"
    "  return collect(option, n)\n"
    "end\n";

static void run_source(lua_State *L, const char *source, size_t size, const char *name)
{
    if (luaL_loadbuffer(L, source, size, name))
        lua_error(L);
    lua_call(L, 0, 0);
}

typedef struct library {
    const char *name;
    lua_CFunction open;
    unsigned allow; /* opened only when allowed; 0: always */
} library;

static const library libraries[] = {
    {"", luaopen_base, 0},
    {LUA_LOADLIBNAME, luaopen_package, 0},
    {LUA_TABLIBNAME, luaopen_table, 0},
    {LUA_IOLIBNAME, luaopen_io, 0},
    {LUA_OSLIBNAME, luaopen_os, 0},
    {LUA_STRLIBNAME, luaopen_string, 0},
    {LUA_MATHLIBNAME, luaopen_math, 0},
    {LUA_BITLIBNAME, luaopen_bit, 0},
    {LUA_DBLIBNAME, luaopen_debug, 0},
    {NULL, NULL, 0},
};

static void open_library(lua_State *L, const library *lib)
{
    lua_pushcfunction(L, lib->open);
    lua_pushstring(L, lib->name);
    lua_call(L, 1, 0);
}

/* The address of this is the key in the registry. */
static const char ffi_key;

/* Opening the library is what sets the compiler up, and it switches the compiler on. Whether it is on is for
 * the limits to say, whether scripts see the library is another question. */
static void open_jit(lua_State *L, const mqlua_vm_limits *limits)
{
    static const char *const modules[] = {"jit", "jit.opt", "jit.util", "jit.profile"};
    bool allowed = limits->allow & MQLUA_ALLOW_JIT;
    if (!limits->jit && !allowed)
        return;
    open_library(L, &(library){LUA_JITLIBNAME, luaopen_jit, 0});
    if (!limits->jit)
        luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    if (allowed)
        return;
    lua_pushnil(L);
    lua_setglobal(L, LUA_JITLIBNAME);
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L, LUA_REGISTRYINDEX, "_PRELOAD");
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++)
        for (int table = -2; table < 0; table++) {
            lua_pushnil(L);
            lua_setfield(L, table - 1, modules[i]);
        }
    lua_pop(L, 2);
}

/* A literal such as 1LL opens ffi where nobody did before, and enters it where require finds it. So it is
 * open in every state. The tables that all cdata need live as long as the module does. */
static void open_ffi(lua_State *L, bool allowed)
{
    lua_pushlightuserdata(L, (void *)&ffi_key);
    lua_pushcfunction(L, luaopen_ffi);
    lua_pushliteral(L, LUA_FFILIBNAME);
    if (!mqlua_vm_provide(mqlua_vm_of(L))) /* LuaJIT cannot close a state in which this failed half-way */
        luaL_error(L, "not enough memory");
    lua_call(L, 1, 1);
    mqlua_vm_provided(mqlua_vm_of(L));
    lua_rawset(L, LUA_REGISTRYINDEX);
    if (allowed)
        return;
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_pushnil(L);
    lua_setfield(L, -2, LUA_FFILIBNAME);
    lua_pop(L, 1);
}

void mqlua_vm_push_ffi(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)&ffi_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
}

/* A finalizer that a script writes into a metatable of the library would run without limits. */
static void lock_metatable(lua_State *L, const char *name)
{
    luaL_getmetatable(L, name);
    if (lua_istable(L, -1)) {
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_pop(L, 1);
}

static void lock_string_metatable(lua_State *L)
{
    lua_pushliteral(L, "");
    if (lua_getmetatable(L, -1)) {
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

void mqlua_sandbox_open(lua_State *L, const mqlua_vm_limits *limits)
{
    for (const library *lib = libraries; lib->name; lib++)
        if (!lib->allow || (lib->allow & limits->allow))
            open_library(L, lib);
    open_jit(L, limits);
    open_ffi(L, limits->allow & MQLUA_ALLOW_FFI);
    if (!(limits->allow & MQLUA_ALLOW_BYTECODE))
        run_source(L, text_only_source, sizeof text_only_source - 1, "=sandbox");
    remove_members(L, limits->allow);
    if (!(limits->allow & MQLUA_ALLOW_DEBUG))
        shrink_debug(L);
    lock_metatable(L, LUA_FILEHANDLE);
    lock_string_metatable(L);
    mqlua_files_open(L);
    mqlua_bytes_open(L);
    mqlua_pattern_open(L);
    mqlua_heavy_open(L);
    mqlua_pairs_open(L);
    mqlua_refs_open(L);
    lua_settop(L, 1);
}
