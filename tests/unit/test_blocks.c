/* SPDX-License-Identifier: MIT */

/* Blocks of a Lua state that are kept for the next of their size. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vm/blocks.h"
#include "vm/vm_internal.h"
#include <stdlib.h>
#include <string.h>

static void kept_for_its_size(void **state)
{
    mqlua_blocks blocks = {0};
    for (size_t size = 1; size <= MQLUA_BLOCK_LARGEST; size++) {
        void *block = malloc(mqlua_blocks_round(size));
        assert_non_null(block);
        assert_true(mqlua_blocks_round(size) >= size);
        assert_true(mqlua_blocks_fits(size, mqlua_blocks_round(size)));
        assert_true(mqlua_blocks_keep(&blocks, block, size));
        assert_null(mqlua_blocks_take(&blocks, mqlua_blocks_round(size) + 1));
        assert_ptr_equal(mqlua_blocks_take(&blocks, size), block);
        assert_int_equal(blocks.kept, 0);
        assert_null(mqlua_blocks_take(&blocks, size));
        free(block);
    }
    assert_int_equal(mqlua_blocks_round(MQLUA_BLOCK_LARGEST + 1), MQLUA_BLOCK_LARGEST + 1);
    assert_false(mqlua_blocks_fits(MQLUA_BLOCK_LARGEST + 1, MQLUA_BLOCK_LARGEST + 1));
    assert_false(mqlua_blocks_keep(&blocks, NULL, MQLUA_BLOCK_LARGEST + 1));
}

static void bounded(void **state)
{
    mqlua_blocks blocks = {0};
    size_t count = 0;
    void *block;
    while (mqlua_blocks_keep(&blocks, block = malloc(mqlua_blocks_round(100)), 100))
        count++;
    free(block);
    assert_true(count * 100 <= MQLUA_BLOCKS_KEPT);
    assert_true(MQLUA_BLOCK_LARGEST == 0 || count > 0);
    mqlua_blocks_free(&blocks); /* the sanitizer looks whether all of them went */
    assert_int_equal(blocks.kept, 0);
    assert_null(mqlua_blocks_take(&blocks, 100));
}

static int churn(lua_State *L)
{
    luaL_loadstring(L, "local t = {}\n"
                       "for i = 1, 3000 do t[i % 100 + 1] = {n = i, s = ('x'):rep(i % 700), i, i, i} end\n"
                       "return function() return t end");
    lua_call(L, 0, 0);
    lua_gc(L, LUA_GCCOLLECT, 0);
    lua_gc(L, LUA_GCCOLLECT, 0);
    return 0;
}

/* What Lua counts itself and what the vm counts stay the same, wherever a block comes from. */
static void counted(void **state)
{
    mqlua_vm *vm = mqlua_vm_new(&(mqlua_vm_limits){.memory = 8 << 20});
    assert_non_null(vm);
    lua_State *L = mqlua_vm_state(vm);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(mqlua_vm_setup(vm, churn, NULL, NULL), 0);
        size_t counted = (size_t)lua_gc(L, LUA_GCCOUNT, 0) * 1024 + (size_t)lua_gc(L, LUA_GCCOUNTB, 0);
        assert_int_equal(mqlua_vm_memory(vm), counted);
    }
    assert_true(MQLUA_BLOCK_LARGEST == 0 || vm->blocks.kept > 0);
    mqlua_vm_free(vm);
}

static int make_full(lua_State *L)
{
    luaL_loadstring(L, "local all = {} for i = 1, 1e7 do all[i] = {i} end");
    lua_call(L, 0, 0);
    return 0;
}

/* A full round gives them back: they are not on top of a heap that fills its cap. */
static void given_back(void **state)
{
    mqlua_vm *vm = mqlua_vm_new(&(mqlua_vm_limits){.memory = 4 << 20});
    assert_non_null(vm);
    assert_int_equal(mqlua_vm_setup(vm, churn, NULL, NULL), 0);
    assert_int_not_equal(mqlua_vm_call(vm, make_full, NULL, NULL), 0);
    assert_true(mqlua_vm_memory(vm) > 1 << 20);
    mqlua_vm_relieve(vm);
    assert_true(mqlua_vm_memory(vm) < 1 << 20);
    assert_int_equal(vm->blocks.kept, 0);
    mqlua_vm_free(vm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_for_its_size),
        cmocka_unit_test(bounded),
        cmocka_unit_test(counted),
        cmocka_unit_test(given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
