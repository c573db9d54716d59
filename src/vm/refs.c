/* SPDX-License-Identifier: MIT */

#include "vm/refs.h"
#include "vm/vm_internal.h"
#include "vm/stack.h"
#include <stdlib.h>
#include <string.h>

static int l_ref(lua_State *L)
{
    lua_pushinteger(L, luaL_ref(L, LUA_REGISTRYINDEX));
    return 1;
}

/* A place that was given back is taken again without an allocation. */
static bool has_free_place(lua_State *L)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, 0); /* where luaL_unref keeps the first of its list */
    bool has = lua_tointeger(L, -1) != 0;
    lua_pop(L, 1);
    return has;
}

static int add_place(lua_State *L)
{
    mqlua_vm *vm = mqlua_vm_of(L);
    luaL_checkstack(L, 3, NULL);
    if (has_free_place(L))
        return luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushcfunction(L, l_ref);
    lua_insert(L, -2);
    if (!mqlua_vm_provide(vm))
        luaL_error(L, "not enough memory");
    int status = lua_pcall(L, 1, 1, 0);
    mqlua_vm_provided(vm);
    if (status)
        lua_error(L);
    int reference = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    return reference;
}

int mqlua_refs_add(lua_State *L)
{
    mqlua_places *places = &mqlua_vm_of(L)->places;
    if (!places->count)
        return add_place(L);
    int reference = places->list[--places->count];
    lua_rawseti(L, LUA_REGISTRYINDEX, reference);
    return reference;
}

static bool grow(mqlua_places *places)
{
    size_t room = places->room ? places->room * 2 : 64;
    int *list = realloc(places->list, room * sizeof *list);
    if (!list)
        return false;
    places->list = list;
    places->room = room;
    return true;
}

void mqlua_refs_drop(mqlua_vm *vm, int reference)
{
    mqlua_places *places = &vm->places;
    if (reference < 0)
        return;
    if (places->count == places->room && !grow(places)) {
        luaL_unref(vm->L, LUA_REGISTRYINDEX, reference);
        return;
    }
    lua_pushboolean(vm->L, false); /* not nil: the place must stay where it is when the registry grows */
    lua_rawseti(vm->L, LUA_REGISTRYINDEX, reference);
    places->list[places->count++] = reference;
}
