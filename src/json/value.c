/* SPDX-License-Identifier: MIT */

#include "json/value.h"
#include "vm/bytes.h"
#include "vm/vm.h"
#include "vm/stack.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <lauxlib.h>
#include <lualib.h>

enum { TYPE_CDATA = 10 }; /* what lua_type says of cdata; LuaJIT's headers have no name for it */

/* What a state needs for JSON is in one table of the registry. */
static const char registry_key;
enum { SIGNED = 1, UNSIGNED, KIND, ARRAY, OBJECT, ENTRIES = OBJECT };

/* C cannot make or recognise 64-bit integers of LuaJIT; FFI can. kind: 1 signed, 2 unsigned, 0 something
 * else. */
static const char int64_source[] =
    "local ffi = ...\n"
    "local signed, unsigned, istype = ffi.typeof('int64_t'), ffi.typeof('uint64_t'), ffi.istype\n"
    "return signed, unsigned, function(value)\n"
    "  return istype(signed, value) and 1 or istype(unsigned, value) and 2 or 0\n"
    "end\n";

static void push_entry(lua_State *L, int entry)
{
    lua_pushlightuserdata(L, (void *)&registry_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    if (!lua_istable(L, -1))
        luaL_error(L, "JSON is not open in this state");
    lua_rawgeti(L, -1, entry);
    lua_remove(L, -2);
}

/* ---- opening ---- */

static void add_mark(lua_State *L, int table, int entry, const char *name)
{
    lua_createtable(L, 0, 2);
    lua_pushstring(L, name);
    lua_setfield(L, -2, "__metatable");
    lua_rawseti(L, table, entry);
}

void mqlua_value_open(lua_State *L)
{
    lua_createtable(L, ENTRIES, 0);
    int table = lua_gettop(L);
    if (luaL_loadbuffer(L, int64_source, sizeof(int64_source) - 1, "=json"))
        lua_error(L);
    mqlua_vm_push_ffi(L);
    lua_call(L, 1, 3);
    lua_rawseti(L, table, KIND);
    lua_rawseti(L, table, UNSIGNED);
    lua_rawseti(L, table, SIGNED);
    add_mark(L, table, ARRAY, "array");
    add_mark(L, table, OBJECT, "object");
    lua_pushlightuserdata(L, (void *)&registry_key);
    lua_insert(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
}

void mqlua_value_mark(lua_State *L, enum mqlua_tree_type type)
{
    push_entry(L, type == MQLUA_TREE_ARRAY ? ARRAY : OBJECT);
    lua_setmetatable(L, -2);
}

static int mark(lua_State *L, enum mqlua_tree_type type)
{
    if (lua_isnoneornil(L, 1)) {
        lua_settop(L, 0);
        lua_newtable(L);
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    if (lua_getmetatable(L, 1)) {
        push_entry(L, ARRAY);
        push_entry(L, OBJECT);
        luaL_argcheck(L, lua_rawequal(L, 2, 3) || lua_rawequal(L, 2, 4), 1, "this table has a metatable");
        lua_settop(L, 1);
    }
    mqlua_value_mark(L, type);
    return 1;
}

int mqlua_value_l_array(lua_State *L)
{
    return mark(L, MQLUA_TREE_ARRAY);
}

int mqlua_value_l_object(lua_State *L)
{
    return mark(L, MQLUA_TREE_OBJECT);
}

/* ---- scalars ---- */

static void scalar_of_number(double number, mqlua_scalar *scalar)
{
    bool integral = number >= -9223372036854775808.0 && number < 9223372036854775808.0 &&
                    (double)(int64_t)number == number && !(number == 0 && signbit(number));
    scalar->type = integral ? MQLUA_TREE_INTEGER : MQLUA_TREE_REAL;
    scalar->integer = integral ? (int64_t)number : 0;
    scalar->real = number;
}

/* cdata: 64-bit integers only. */
static void scalar_of_cdata(lua_State *L, int index, const mqlua_path *path, mqlua_scalar *scalar)
{
    luaL_checkstack(L, 4, "too deep");
    push_entry(L, KIND);
    lua_pushvalue(L, index);
    lua_call(L, 1, 1);
    int kind = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    if (!kind)
        mqlua_path_raise(L, path, "this cdata cannot be stored in JSON");
    scalar->type = MQLUA_TREE_INTEGER;
    memcpy(&scalar->integer, lua_topointer(L, index), sizeof(scalar->integer)); /* the payload of the cdata */
    scalar->beyond = kind == UNSIGNED && scalar->integer < 0;
}

bool mqlua_value_scalar(lua_State *L, int index, const mqlua_path *path, mqlua_scalar *scalar)
{
    *scalar = (mqlua_scalar){.type = MQLUA_TREE_NULL};
    int type = lua_type(L, index);
    switch (type) {
    case LUA_TNIL:
        return true;
    case LUA_TTABLE:
        return false;
    case LUA_TBOOLEAN:
        scalar->type = MQLUA_TREE_BOOLEAN;
        scalar->boolean = lua_toboolean(L, index);
        return true;
    case LUA_TNUMBER:
        scalar_of_number(lua_tonumber(L, index), scalar);
        if (!isfinite(scalar->real))
            mqlua_path_raise(L, path, "%s cannot be stored in JSON",
                             isnan(scalar->real) ? "NaN" : "infinity");
        return true;
    case LUA_TSTRING:
        scalar->type = MQLUA_TREE_STRING;
        scalar->string = lua_tolstring(L, index, &scalar->size);
        return true;
    case LUA_TLIGHTUSERDATA:
        if (!lua_touserdata(L, index))
            return true;
        break;
    case LUA_TUSERDATA:
        scalar->type = MQLUA_TREE_STRING;
        if (mqlua_bytes_to(L, index, &scalar->string, &scalar->size)) {
            scalar->string = scalar->size ? scalar->string : "";
            return true;
        }
        break;
    case TYPE_CDATA:
        scalar_of_cdata(L, index, path, scalar);
        return true;
    default:
        break;
    }
    mqlua_path_raise(L, path, "a %s cannot be stored in JSON", lua_typename(L, type));
}

bool mqlua_value_scalar_of(const mqlua_tree *tree, void *node, mqlua_scalar *scalar)
{
    *scalar = (mqlua_scalar){.type = tree->type(tree, node)};
    switch (scalar->type) {
    case MQLUA_TREE_BOOLEAN:
        scalar->boolean = tree->boolean(tree, node);
        return true;
    case MQLUA_TREE_INTEGER:
        scalar->beyond = !tree->integer(tree, node, &scalar->integer);
        return true;
    case MQLUA_TREE_REAL:
        scalar->real = tree->real(tree, node);
        return true;
    case MQLUA_TREE_STRING:
        scalar->string = tree->string(tree, node, &scalar->size);
        return true;
    default:
        return scalar->type == MQLUA_TREE_NULL;
    }
}

/* Integers that a double cannot tell apart from their neighbours are cdata. */
static void push_integer(lua_State *L, const mqlua_scalar *scalar)
{
    int64_t value = scalar->integer;
    if (!scalar->beyond && value >= -((int64_t)1 << 53) && value <= (int64_t)1 << 53) {
        lua_pushnumber(L, (lua_Number)value);
        return;
    }
    push_entry(L, scalar->beyond ? UNSIGNED : SIGNED);
    lua_call(L, 0, 1);
    memcpy((void *)lua_topointer(L, -1), &value, sizeof(value));
}

void mqlua_value_push_scalar(lua_State *L, const mqlua_scalar *scalar)
{
    switch (scalar->type) {
    case MQLUA_TREE_BOOLEAN:
        lua_pushboolean(L, scalar->boolean);
        break;
    case MQLUA_TREE_INTEGER:
        push_integer(L, scalar);
        break;
    case MQLUA_TREE_REAL:
        lua_pushnumber(L, scalar->real);
        break;
    case MQLUA_TREE_STRING:
        mqlua_vm_charge(L, scalar->size / 32);
        lua_pushlstring(L, scalar->string, scalar->size);
        break;
    default:
        lua_pushlightuserdata(L, NULL);
        break;
    }
}

/* ---- tables ---- */

/* ARRAY or OBJECT, when that is the mark on top of the stack; else 0. Raises nothing. */
static int known_mark(lua_State *L)
{
    int found = 0;
    for (int entry = ARRAY; entry <= OBJECT && !found; entry++) {
        push_entry(L, entry);
        found = lua_rawequal(L, -1, -2) ? entry : 0;
        lua_pop(L, 1);
    }
    return found;
}

/* 0: no metatable that matters here. */
static int mark_of(lua_State *L, int index, const mqlua_path *path)
{
    if (!lua_getmetatable(L, index))
        return 0;
    int found = known_mark(L);
    if (!found) {
        lua_pushliteral(L, "__pairs");
        lua_rawget(L, -2);
        if (!lua_isnil(L, -1))
            mqlua_path_raise(L, path, "this is not a plain table: its values must be copied into one first");
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return found;
}

typedef struct keys {
    size_t strings, integers, highest;
} keys;

static void count_keys(lua_State *L, int index, const mqlua_path *path, keys *found)
{
    *found = (keys){0, 0, 0};
    lua_pushnil(L);
    while (lua_next(L, index)) {
        lua_pop(L, 1);
        if (lua_type(L, -1) == LUA_TSTRING) {
            found->strings++;
            continue;
        }
        lua_Number number = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0.5;
        if (number < 1 || number > 0x1p31 || number != floor(number))
            mqlua_path_raise(L, path, "a %s cannot be a key in JSON (strings, or numbers from 1 on)",
                             luaL_typename(L, -1));
        found->integers++;
        if ((size_t)number > found->highest)
            found->highest = (size_t)number;
    }
}

static void refuse_cycle(lua_State *L, int index, mqlua_path *path)
{
    path->table = lua_topointer(L, index);
    for (const mqlua_path *up = path->up; up; up = up->up)
        if (up->table == path->table)
            mqlua_path_raise(L, path, "this table contains itself");
    mqlua_stack_check(L);
    if (path->depth >= MQLUA_VALUE_DEPTH)
        mqlua_path_raise(L, path, "nested deeper than %d levels", MQLUA_VALUE_DEPTH);
}

enum mqlua_tree_type mqlua_value_table(lua_State *L, int index, mqlua_path *path, size_t *count)
{
    luaL_checkstack(L, 16, "too deep");
    refuse_cycle(L, index, path);
    int entry = mark_of(L, index, path);
    keys found;
    count_keys(L, index, path, &found);
    mqlua_vm_charge(L, 4 * (found.strings + found.integers) + 4);
    if (found.strings && found.integers)
        mqlua_path_raise(L, path,
                         "mixed keys: a table in JSON has either strings or numbers from 1 on as keys");
    if (found.strings && entry == ARRAY)
        mqlua_path_raise(L, path, "this is an array, but it has keys that are strings");
    if (found.integers && entry == OBJECT)
        mqlua_path_raise(L, path, "this is an object, but it has keys that are numbers");
    if (found.highest > 2 * found.integers + 10)
        mqlua_path_raise(L, path, "too many holes in the array (%d values, highest index %d)",
                         (int)found.integers, (int)found.highest);
    bool array = found.integers || entry == ARRAY;
    *count = array ? found.highest : found.strings;
    return array ? MQLUA_TREE_ARRAY : MQLUA_TREE_OBJECT;
}

const char *mqlua_value_key(lua_State *L, int index, const mqlua_path *path)
{
    size_t size;
    const char *key = lua_tolstring(L, index, &size);
    if (memchr(key, 0, size))
        mqlua_path_raise(L, path, "a key with a NUL byte cannot be stored in the message's JSON");
    return key;
}

/* ---- to another state ---- */

bool mqlua_value_carry(lua_State *from, int index, lua_State *to)
{
    if (lua_type(from, index) != TYPE_CDATA)
        return false;
    push_entry(from, KIND);
    lua_pushvalue(from, index);
    int kind = lua_pcall(from, 1, 1, 0) == 0 ? (int)lua_tointeger(from, -1) : 0;
    lua_pop(from, 1);
    if (!kind)
        return false;
    luaL_checkstack(to, 4, NULL);
    push_entry(to, kind);
    lua_call(to, 0, 1);
    memcpy((void *)lua_topointer(to, -1), lua_topointer(from, index), sizeof(int64_t));
    return true;
}

void mqlua_value_carry_mark(lua_State *from, int index, lua_State *to)
{
    if (!lua_getmetatable(from, index))
        return;
    int found = known_mark(from);
    lua_pop(from, 1);
    if (found) {
        push_entry(to, found);
        lua_setmetatable(to, -2);
    }
}
