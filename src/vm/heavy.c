/* SPDX-License-Identifier: MIT */
#include "vm/heavy.h"
#include "vm/bytes.h"
#include "vm/stack.h"
#include "vm/text.h"
#include <string.h>

enum {
    BATCH = 4096,     /* elements or bytes between two looks at the budget */
    SORT_SMALL = 256, /* elements that are sorted in no time, however badly it goes */
};

/* ---- strings ---- */

/* Returns the string or buffer at 1 with the case of the letters from first to last changed. */
static int flip_case(lua_State *L, unsigned char first, unsigned char last)
{
    size_t size;
    const char *s = mqlua_bytes_check(L, 1, &size);
    mqlua_text out;
    mqlua_text_init(&out, L);
    char *to = mqlua_text_room(&out, size);
    for (size_t i = 0; i < size;) {
        size_t stop = size - i < BATCH ? size : i + BATCH;
        if (size > BATCH)
            mqlua_vm_charge(L, BATCH / 4);
        for (; i < stop; i++) {
            unsigned char c = (unsigned char)s[i];
            to[i] = (char)(c >= first && c <= last ? c ^ 32 : c);
        }
    }
    mqlua_text_push(&out);
    return 1;
}

int mqlua_heavy_lower(lua_State *L)
{
    return flip_case(L, 'A', 'Z');
}

int mqlua_heavy_upper(lua_State *L)
{
    return flip_case(L, 'a', 'z');
}

int mqlua_heavy_reverse(lua_State *L)
{
    size_t size;
    const char *s = mqlua_bytes_check(L, 1, &size);
    mqlua_text out;
    mqlua_text_init(&out, L);
    char *to = mqlua_text_room(&out, size);
    for (size_t i = 0; i < size; i++) {
        if (i % BATCH == BATCH - 1)
            mqlua_vm_charge(L, BATCH / 2);
        to[i] = s[size - 1 - i];
    }
    mqlua_text_push(&out);
    return 1;
}

/* string.rep(s, n, separator). One piece is written out, then doubled in place. */
int mqlua_heavy_rep(lua_State *L)
{
    size_t size, gap = 0;
    const char *s = mqlua_bytes_check(L, 1, &size);
    lua_Number wanted = luaL_checknumber(L, 2);
    const char *separator = luaL_optlstring(L, 3, NULL, &gap);
    if (!(wanted >= 1) || size + gap == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    size_t piece = size + gap;
    if (wanted * (lua_Number)piece >= (lua_Number)0x7fffff00) {
        lua_pushliteral(L, "not enough memory"); /* more than a string can hold, and than any cap allows */
        return lua_error(L);
    }
    size_t total = piece * (size_t)wanted - gap;
    mqlua_text out;
    mqlua_text_init(&out, L);
    char *to = mqlua_text_room(&out, total + gap);
    memcpy(to, s, size);
    if (gap)
        memcpy(to + size, separator, gap);
    for (size_t done = piece; done < total;) {
        size_t next = total - done < done ? total - done : done;
        if (next > BATCH * 16)
            next = BATCH * 16 / piece ? BATCH * 16 / piece * piece : piece;
        if (next > total - done)
            next = total - done;
        mqlua_vm_charge(L, 1 + next / 16);
        memcpy(to + done, to, next);
        done += next;
    }
    out.size = total;
    mqlua_text_push(&out);
    return 1;
}

/* Before string.format: charges the format and its strings, and hands all arguments on. */
static int charge_strings(lua_State *L)
{
    int count = lua_gettop(L);
    size_t size = 0;
    bool objects = false;
    for (int i = 1; i <= count; i++) {
        int type = lua_type(L, i);
        if (type == LUA_TSTRING)
            size += lua_objlen(L, i);
        objects |= type == LUA_TTABLE || type == LUA_TUSERDATA;
    }
    mqlua_vm_charge(L, (size_t)count + size / 4);
    if (objects) /* %s calls __tostring */
        mqlua_stack_check(L);
    return count;
}

/* ---- tables ---- */

static int l_insert(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Integer count = (lua_Integer)lua_objlen(L, 1) + 1;
    int arguments = lua_gettop(L);
    if (arguments != 2 && arguments != 3)
        return luaL_error(L, "wrong number of arguments to 'insert'");
    if (arguments == 3) {
        int at = (int)luaL_checkinteger(L, 2);
        int i = at > count ? at : (int)count;
        for (size_t moved = 1; i > at; i--, moved++) {
            if (moved % BATCH == 0)
                mqlua_vm_charge(L, BATCH * 2);
            lua_rawgeti(L, 1, i - 1);
            lua_rawseti(L, 1, i);
        }
        mqlua_vm_charge(L, (size_t)(count > at ? count - at : 0) % BATCH);
        count = at;
    }
    lua_rawseti(L, 1, (int)count);
    return 0;
}

/* Before table.concat: joins long lists itself; nothing (the original is called then) for short ones, and for
 * those with an element that it would complain about. */
static int concat_long(lua_State *L)
{
    size_t gap = 0;
    if (!lua_istable(L, 1))
        return 0;
    const char *separator = lua_isnoneornil(L, 2) ? "" : lua_tolstring(L, 2, &gap);
    if (!separator || !(lua_isnoneornil(L, 3) || lua_isnumber(L, 3)) ||
        !(lua_isnoneornil(L, 4) || lua_isnumber(L, 4)))
        return 0;
    int i = (int)luaL_optinteger(L, 3, 1);
    int last = lua_isnoneornil(L, 4) ? (int)lua_objlen(L, 1) : (int)lua_tointeger(L, 4);
    mqlua_vm_charge(L, 1 + (last > i ? (size_t)((int64_t)last - i) % BATCH : 0));
    if ((int64_t)last - i < BATCH)
        return 0;
    mqlua_text out;
    mqlua_text_init(&out, L);
    for (size_t done = 1;; i++, done++) {
        size_t size;
        lua_rawgeti(L, 1, i);
        const char *s = lua_tolstring(L, -1, &size);
        if (!s)
            return 0;
        if (done % BATCH == 0 || size > BATCH)
            mqlua_vm_charge(L, BATCH * 4 + size / 16);
        mqlua_text_add(&out, s, size);
        lua_pop(L, 1);
        if (i == last)
            break;
        mqlua_text_add(&out, separator, gap);
    }
    mqlua_text_push(&out);
    return 1;
}

/* A comparator for table.sort that charges, and then does what sort does without one. */
static int less(lua_State *L)
{
    size_t size = lua_type(L, 1) == LUA_TSTRING ? lua_objlen(L, 1) : 0;
    mqlua_vm_charge(L, 4 + size / 16);
    lua_pushboolean(L, lua_lessthan(L, 1, 2));
    return 1;
}

/* The same for a comparator that is a C function, which no hook interrupts either. Upvalue: that function. */
static int less_by(lua_State *L)
{
    mqlua_vm_charge(L, 4);
    lua_settop(L, 2);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 2, 1);
    return 1;
}

/* Before table.sort: hands on the arguments, with a comparator that charges where nothing else would. */
static int charge_sort(lua_State *L)
{
    if (!lua_istable(L, 1))
        return lua_gettop(L);
    size_t count = lua_objlen(L, 1);
    mqlua_vm_charge(L, 1 + count);
    mqlua_stack_check(L); /* a comparator, or __lt of the elements */
    if (count > SORT_SMALL && lua_isnoneornil(L, 2)) {
        lua_settop(L, 1);
        lua_pushcfunction(L, less);
    } else if (lua_iscfunction(L, 2)) {
        lua_settop(L, 2);
        lua_pushcclosure(L, less_by, 1);
    }
    return lua_gettop(L);
}

/* Before collectgarbage: a full round looks at everything there is. */
static int charge_collection(lua_State *L)
{
    static const char *const cheap[] = {"count", "stop", "restart", "setpause", "setstepmul"};
    const char *what = lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : "collect";
    for (size_t i = 0; i < sizeof(cheap) / sizeof(*cheap); i++)
        if (!strcmp(what, cheap[i]))
            return lua_gettop(L);
    mqlua_vm_charge(L, (size_t)lua_gc(L, LUA_GCCOUNT, 0) * 64);
    return lua_gettop(L);
}

/* Before require, which compiles and runs a file. */
static int check_require(lua_State *L)
{
    mqlua_stack_check_for(L, MQLUA_STACK_PARSER);
    return lua_gettop(L);
}

/* Before load and loadstring: compiling is some hundred times slower than copying, and a reader that loads
 * nests. */
static int charge_source(lua_State *L)
{
    mqlua_stack_check_for(L, MQLUA_STACK_PARSER);
    mqlua_vm_charge(L, 64 + (lua_type(L, 1) == LUA_TSTRING ? lua_objlen(L, 1) * 8 : 0));
    return lua_gettop(L);
}

/* Before functions that call back into Lua, or read a table that may have __index: each takes a piece of the
 * stack of the thread. */
static int check_stack(lua_State *L)
{
    mqlua_stack_check(L);
    return lua_gettop(L);
}

/* ---- putting them in place ---- */

/* A tail call from Lua leaves the original's messages as they are: "bad argument" with its name, and the
 * place of the caller. From C both would be lost. */
static const char prepared[] = "local original, before = ...\n"
                               "return function(...) return original(before(...)) end";
static const char replaced[] = "local original, instead = ...\n"
                               "return function(...)\n"
                               "  local result = instead(...)\n"
                               "  if result then return result end\n"
                               "  return original(...)\n"
                               "end";

/* Puts a Lua function made from source around field name of the table on the top. */
static void wrap(lua_State *L, const char *name, const char *source, lua_CFunction function)
{
    if (luaL_loadbuffer(L, source, strlen(source), "=[mailerq-lua]"))
        lua_error(L);
    lua_getfield(L, -2, name);
    lua_pushcfunction(L, function);
    lua_call(L, 2, 1);
    lua_setfield(L, -2, name);
}

static void put(lua_State *L, const char *name, lua_CFunction function)
{
    lua_pushcfunction(L, function);
    lua_setfield(L, -2, name);
}

void mqlua_heavy_open(lua_State *L)
{
    luaL_checkstack(L, 8, NULL);
    lua_getglobal(L, LUA_STRLIBNAME);
    luaL_checktype(L, -1, LUA_TTABLE);
    put(L, "lower", mqlua_heavy_lower);
    put(L, "upper", mqlua_heavy_upper);
    put(L, "reverse", mqlua_heavy_reverse);
    put(L, "rep", mqlua_heavy_rep);
    wrap(L, "format", prepared, charge_strings);
    lua_getglobal(L, LUA_TABLIBNAME);
    luaL_checktype(L, -1, LUA_TTABLE);
    put(L, "insert", l_insert);
    wrap(L, "concat", replaced, concat_long);
    wrap(L, "sort", prepared, charge_sort);
    lua_pushvalue(L, LUA_GLOBALSINDEX);
    wrap(L, "collectgarbage", prepared, charge_collection);
    wrap(L, "module", prepared, check_stack);
    wrap(L, "require", prepared, check_require);
    wrap(L, "load", prepared, charge_source);
    wrap(L, "loadstring", prepared, charge_source);
    lua_getglobal(L, LUA_COLIBNAME);
    luaL_checktype(L, -1, LUA_TTABLE);
    wrap(L, "resume", prepared, check_stack);
    lua_getglobal(L, LUA_OSLIBNAME);
    wrap(L, "time", prepared, check_stack);
    wrap(L, "date", prepared, charge_strings);
    lua_pop(L, 5);
}
