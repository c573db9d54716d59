/* SPDX-License-Identifier: MIT */

/* References to values in the registry. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vm/refs.h"
#include <stdio.h>

enum { MANY = 1000 };

static int references[MANY];

static int add_all(lua_State *L)
{
    for (int i = 0; i < MANY; i++) {
        lua_pushinteger(L, i);
        references[i] = mqlua_refs_add(L);
    }
    return 0;
}

/* To a little less than 2^14 names, for which LuaJIT makes room for 2^14: what is no longer in the array part
 * finds none. */
static int grow_registry(lua_State *L)
{
    for (int i = 0; i < 16 * MANY; i++) {
        char name[32];
        snprintf(name, sizeof name, "test %d", i);
        lua_pushboolean(L, true);
        lua_setfield(L, LUA_REGISTRYINDEX, name);
    }
    lua_gc(L, LUA_GCCOLLECT, 0);
    return 0;
}

static void check_all(lua_State *L)
{
    for (int i = 0; i < MANY; i++) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, references[i]);
        assert_int_equal(lua_tointeger(L, -1), i);
        lua_pop(L, 1);
    }
}

/* What was given back is taken again without memory, also when the registry was made anew in between. */
static void taken_again(void **state)
{
    mqlua_vm *vm = mqlua_vm_new(&(mqlua_vm_limits){0});
    assert_non_null(vm);
    lua_State *L = mqlua_vm_state(vm);
    assert_int_equal(mqlua_vm_setup(vm, add_all, NULL, NULL), 0);
    check_all(L);
    for (int i = 0; i < MANY; i++)
        mqlua_refs_drop(vm, references[i]);
    assert_int_equal(mqlua_vm_setup(vm, grow_registry, NULL, NULL), 0);
    lua_gc(L, LUA_GCSTOP, 0);
    size_t before = mqlua_vm_memory(vm);
    for (int i = 0; i < MANY; i++) {
        lua_pushinteger(L, i);
        references[i] = mqlua_refs_add(L);
    }
    assert_int_equal(mqlua_vm_memory(vm), before);
    check_all(L);
    mqlua_vm_free(vm);
}

static int make_table(lua_State *L)
{
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "v");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2); /* a weak table that has another one */
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, 1);
    references[0] = mqlua_refs_add(L);
    references[1] = mqlua_refs_add(L);
    return 0;
}

/* The registry holds a value until its reference is given back, and no longer. */
static void held(void **state)
{
    mqlua_vm *vm = mqlua_vm_new(&(mqlua_vm_limits){0});
    assert_non_null(vm);
    lua_State *L = mqlua_vm_state(vm);
    assert_int_equal(mqlua_vm_setup(vm, make_table, NULL, NULL), 0);
    lua_rawgeti(L, LUA_REGISTRYINDEX, references[1]);
    for (int there = 1; there >= 0; there--) {
        lua_gc(L, LUA_GCCOLLECT, 0);
        lua_rawgeti(L, -1, 1);
        assert_int_equal(lua_istable(L, -1), there);
        lua_pop(L, 1);
        mqlua_refs_drop(vm, references[0]);
        references[0] = LUA_NOREF; /* is none */
    }
    mqlua_vm_free(vm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(taken_again), cmocka_unit_test(held)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
