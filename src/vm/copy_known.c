/* SPDX-License-Identifier: MIT */
#include "vm/copy_internal.h"
#include "vm/refs.h"

int mqlua_copy_l_number(lua_State *from)
{
    const copy_walk *w = lua_touserdata(from, 1);
    lua_pushvalue(from, 2);
    lua_pushnumber(from, (double)(*w->copy->numbers + 1));
    lua_rawset(from, 3);
    return 0;
}

double mqlua_copy_number(copy_walk *w, int index)
{
    lua_State *from = w->from;
    if (!w->copy->numbers)
        return 0;
    lua_pushvalue(from, index);
    lua_rawget(from, NUMBERS);
    double number = lua_tonumber(from, -1);
    lua_pop(from, 1);
    if (number != 0)
        return number;
    lua_pushvalue(from, GIVE_NUMBER);
    lua_pushlightuserdata(from, w);
    lua_pushvalue(from, index);
    lua_pushvalue(from, NUMBERS);
    if (lua_pcall(from, 3, 0, 0) == 0)
        return (double)++*w->copy->numbers;
    lua_pop(from, 1);
    return 0;
}

/* Whether table has something for the key on top of to, which it replaces; else it is popped. */
static bool look_up(lua_State *to, int table)
{
    if (lua_istable(to, table)) {
        lua_rawget(to, table);
        if (!lua_isnil(to, -1))
            return true;
    }
    lua_pop(to, 1);
    return false;
}

bool mqlua_copy_find_address(lua_State *to, const void *address)
{
    lua_pushlightuserdata(to, (void *)address);
    if (look_up(to, FRESH))
        return true;
    lua_pushlightuserdata(to, (void *)address);
    return look_up(to, SEEN);
}

bool mqlua_copy_find_number(lua_State *to, double number)
{
    if (number == 0)
        return false;
    lua_pushnumber(to, number);
    return look_up(to, KNOWN);
}

void mqlua_copy_remember(lua_State *to, const void *address, double number)
{
    if (!lua_istable(to, FRESH)) {
        lua_newtable(to);
        lua_replace(to, FRESH);
    }
    lua_pushlightuserdata(to, (void *)address);
    lua_pushvalue(to, -2);
    lua_rawset(to, FRESH);
    if (number != 0) {
        lua_pushnumber(to, number);
        lua_pushvalue(to, -2);
        lua_rawset(to, FRESH);
    }
}

void mqlua_copy_keep_fresh(lua_State *to)
{
    if (!lua_istable(to, FRESH))
        return;
    lua_pushnil(to);
    while (lua_next(to, FRESH)) {
        int table = lua_type(to, -2) == LUA_TNUMBER ? KNOWN : SEEN;
        lua_pushvalue(to, -2);
        lua_insert(to, -2);
        lua_rawset(to, table);
    }
}

int mqlua_copy_l_refuse(lua_State *to)
{
    lua_pushvalue(to, 2);
    lua_pushboolean(to, false);
    lua_rawset(to, 1);
    return 0;
}

void mqlua_copy_refuse(copy_walk *w, int index)
{
    lua_State *to = w->to;
    double number = lua_istable(w->from, index) ? mqlua_copy_number(w, index) : 0;
    if (number == 0)
        return;
    lua_pushvalue(to, REFUSE);
    lua_pushvalue(to, KNOWN);
    lua_pushnumber(to, number);
    if (lua_pcall(to, 2, 0, 0))
        lua_pop(to, 1);
}

static int new_weak(lua_State *L, const char *mode)
{
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushstring(L, mode);
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    return mqlua_refs_add(L);
}

void mqlua_copy_push_known(lua_State *L, const copy_walk *w, int *reference, const char *mode)
{
    luaL_checkstack(L, 10, NULL);
    if (!w->copy->numbers) {
        lua_pushnil(L);
        return;
    }
    if (!*reference)
        *reference = new_weak(L, mode);
    lua_rawgeti(L, LUA_REGISTRYINDEX, *reference);
}

void mqlua_copy_forget(mqlua_vm *vm)
{
    if (vm->copies.known)
        mqlua_refs_drop(vm, vm->copies.known);
    vm->copies.known = 0;
    vm->copies.spoiled = vm->copies.waste = 0;
}
