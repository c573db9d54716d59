/* SPDX-License-Identifier: MIT */

/* The libraries that a policy sees: what the list below admits. What could end the process, reach outside the
 * limits or run code that nobody wrote as text is there only when the settings allow it. */

#include "vm/buffer.h"
#include "vm/date.h"
#include "vm/files.h"
#include "vm/heavy.h"
#include "vm/vm_internal.h"
#include "vm/pairs.h"
#include "vm/pattern.h"
#include "vm/text.h"
#include <luajit.h>
#include <string.h>

/* What there is of Lua's libraries: a name that is not here does not exist for a policy. docs/LUA_API.md has
 * the same list, and a test compares both with what is reachable. */
typedef struct admitted {
    const char *library;
    const char *names; /* separated by blanks */
    unsigned allow;    /* only when the settings allow this; 0: always */
} admitted;

static const admitted list[] = {
    {"_G",
     "_G _VERSION assert bit collectgarbage coroutine debug error gcinfo getfenv getmetatable io ipairs load "
     "loadstring math module next os package pairs pcall rawequal rawget rawset require select setfenv "
     "setmetatable string table tonumber tostring type unpack xpcall",
     0},
    {"_G", "jit", MQLUA_ALLOW_JIT},
    {"bit", "arshift band bnot bor bswap bxor lshift rol ror rshift tobit tohex", 0},
    {"coroutine", "create isyieldable resume running status wrap yield", 0},
    {"debug", "getinfo traceback", 0},
    {"debug",
     "getfenv gethook getlocal getmetatable getregistry getupvalue setfenv sethook setlocal setmetatable "
     "setupvalue upvalueid upvaluejoin",
     MQLUA_ALLOW_DEBUG},
    {"io", "popen", MQLUA_ALLOW_IO_POPEN}, /* the others are those of files.c */
    {"math",
     "abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp huge ldexp log log10 max min modf pi "
     "pow "
     "rad random randomseed sin sinh sqrt tan tanh",
     0},
    {"os", "clock date difftime getenv time", 0}, /* and those of files.c */
    {"os", "exit", MQLUA_ALLOW_OS_EXIT},
    {"os", "execute", MQLUA_ALLOW_OS_EXECUTE},
    {"os", "setlocale", MQLUA_ALLOW_OS_SETLOCALE},
    {"package", "config loaded loaders path preload seeall", 0},
    {"package", "cpath loadlib", MQLUA_ALLOW_CMODULES},
    {"string", "byte char find format gmatch gsub len lower match rep reverse sub upper", 0},
    {"string", "dump", MQLUA_ALLOW_BYTECODE},
    {"table", "concat foreach foreachi getn insert maxn move remove sort", 0},
    /* what require finds without looking for a file */
    {"package.loaded", "_G bit coroutine debug io math os package string table", 0},
    {"package.loaded", "jit jit.opt", MQLUA_ALLOW_JIT},
    {"package.loaded", "ffi", MQLUA_ALLOW_FFI},
    {"package.preload", "jit.profile jit.util", MQLUA_ALLOW_JIT},
};

static bool has_name(const char *names, const char *name)
{
    size_t size = strlen(name);
    for (const char *at = names; (at = strstr(at, name)); at += size)
        if ((at == names || at[-1] == ' ') && (at[size] == ' ' || !at[size]) && size)
            return true;
    return false;
}

static bool is_admitted(const char *library, const char *name, unsigned allow)
{
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (!strcmp(list[i].library, library) && (!list[i].allow || (list[i].allow & allow)) &&
            has_name(list[i].names, name))
            return true;
    return false;
}

/* Takes out of the table on the top whatever the list does not have, and pops it. */
static void keep_admitted(lua_State *L, const char *library, unsigned allow)
{
    luaL_checktype(L, -1, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        if (lua_type(L, -2) == LUA_TSTRING && is_admitted(library, lua_tostring(L, -2), allow))
            continue;
        lua_pushvalue(L, -2);
        lua_pushnil(L);
        lua_rawset(L, -5);
    }
    lua_pop(L, 1);
}

static void keep_library(lua_State *L, const char *name, unsigned allow)
{
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
    keep_admitted(L, name, allow);
}

/* Searchers that read files wherever they are, and those of C modules. load.c puts in those of the bundle. */
static void keep_searchers(lua_State *L, unsigned allow)
{
    lua_getglobal(L, LUA_LOADLIBNAME);
    lua_getfield(L, -1, "loaders");
    for (int i = (int)lua_objlen(L, -1); i > 1 && !(allow & MQLUA_ALLOW_CMODULES); i--) {
        lua_pushnil(L);
        lua_rawseti(L, -2, i);
    }
    lua_pop(L, 2);
}

static void keep_list(lua_State *L, unsigned allow)
{
    static const char *const names[] = {LUA_BITLIBNAME,  LUA_COLIBNAME,  LUA_DBLIBNAME,
                                        LUA_MATHLIBNAME, LUA_OSLIBNAME,  LUA_LOADLIBNAME,
                                        LUA_STRLIBNAME,  LUA_TABLIBNAME, "_G"};
    lua_getglobal(L, LUA_LOADLIBNAME);
    lua_getfield(L, -1, "preload");
    lua_remove(L, -2);
    keep_admitted(L, "package.preload", allow);
    keep_searchers(L, allow);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        keep_library(L, names[i], allow);
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    keep_admitted(L, "package.loaded", allow);
}

/* io begins empty: reading and writing by files.c only. Lua's own is opened where popen is allowed, because
 * its results are files of that library. */
static void open_io(lua_State *L, unsigned allow)
{
    if (allow & MQLUA_ALLOW_IO_POPEN) {
        keep_library(L, LUA_IOLIBNAME, allow);
        return;
    }
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setglobal(L, LUA_IOLIBNAME);
    lua_setfield(L, -2, LUA_IOLIBNAME);
    lua_pop(L, 1);
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

static void wrap_getinfo(lua_State *L)
{
    lua_getglobal(L, LUA_DBLIBNAME);
    lua_getfield(L, -1, "getinfo");
    lua_pushcclosure(L, l_getinfo, 1);
    lua_setfield(L, -2, "getinfo");
    lua_pop(L, 1);
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
    {LUA_IOLIBNAME, luaopen_io, MQLUA_ALLOW_IO_POPEN},
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
    if (!limits->jit && !(limits->allow & MQLUA_ALLOW_JIT))
        return;
    open_library(L, &(library){LUA_JITLIBNAME, luaopen_jit, 0});
    if (!limits->jit)
        luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
}

/* A literal such as 1LL opens ffi where nobody did before, and enters it where require finds it. So it is
 * open in every state. The tables that all cdata need live as long as the module does. */
static void open_ffi(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)&ffi_key);
    lua_pushcfunction(L, luaopen_ffi);
    lua_pushliteral(L, LUA_FFILIBNAME);
    if (!mqlua_vm_provide(mqlua_vm_of(L))) /* LuaJIT cannot close a state in which this failed half-way */
        luaL_error(L, "not enough memory");
    lua_call(L, 1, 1);
    mqlua_vm_provided(mqlua_vm_of(L));
    lua_rawset(L, LUA_REGISTRYINDEX);
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
    open_ffi(L);
    open_io(L, limits->allow);
    keep_list(L, limits->allow);
    if (!(limits->allow & MQLUA_ALLOW_BYTECODE))
        run_source(L, text_only_source, sizeof text_only_source - 1, "=sandbox");
    if (!(limits->allow & MQLUA_ALLOW_DEBUG))
        wrap_getinfo(L);
    lock_metatable(L, LUA_FILEHANDLE);
    lock_string_metatable(L);
    mqlua_files_open(L);
    mqlua_buffer_open(L);
    mqlua_pattern_open(L);
    mqlua_heavy_open(L);
    mqlua_date_open(L);
    mqlua_pairs_open(L);
    mqlua_text_open(L);
    lua_settop(L, 1);
}
