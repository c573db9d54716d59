/* SPDX-License-Identifier: MIT */

/* The allocator of a vm, in what scripts cannot bring about. Its source is part of this program, so that it
 * asks the function below for memory. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>

static bool failing;

static void *try_realloc(void *old, size_t size)
{
    return failing ? NULL : realloc(old, size);
}

#define realloc try_realloc
#include "vm/vm.c"
#undef realloc

static void *of_provision(mqlua_vm *vm, size_t size)
{
    mqlua_blocks_free(&vm->blocks);
    assert_true(mqlua_vm_provide(vm));
    failing = true;
    void *block = allocate(vm, NULL, 0, size);
    failing = false;
    mqlua_vm_provided(vm);
    assert_true(is_provision(vm, block));
    return block;
}

/* Blocks of the provision are neither given to malloc nor kept for others, and what grows or shrinks leaves
 * the provision. */
static void left_alone(void **state)
{
    mqlua_vm *vm = mqlua_vm_new(&(mqlua_vm_limits){0});
    assert_non_null(vm);
    size_t used = mqlua_vm_memory(vm);
    allocate(vm, of_provision(vm, 40), 40, 0);
    void *next = allocate(vm, NULL, 0, 40);
    assert_false(is_provision(vm, next));
    memset(next, 'x', 40);
    allocate(vm, next, 40, 0);
    for (size_t size = 24; size <= 600; size += 16) {
        void *block = of_provision(vm, 40);
        memset(block, 'y', 40);
        char *moved = allocate(vm, block, 40, size);
        assert_false(is_provision(vm, moved));
        assert_true(moved[0] == 'y' && moved[23] == 'y');
        allocate(vm, moved, size, 0);
    }
    assert_int_equal(mqlua_vm_memory(vm), used);
    mqlua_vm_free(vm);
}

/* With no memory at all a block that shrinks or stays in its class stays where it is. */
static void without_memory(void **state)
{
    mqlua_vm *vm = mqlua_vm_new(&(mqlua_vm_limits){0});
    assert_non_null(vm);
    mqlua_blocks_free(&vm->blocks);
    size_t used = mqlua_vm_memory(vm);
    void *block = allocate(vm, NULL, 0, 200);
    failing = true;
    assert_ptr_equal(allocate(vm, block, 200, 100), block);
    assert_null(allocate(vm, block, 100, 300));
    assert_int_equal(mqlua_vm_memory(vm), used + 100);
    failing = false;
    allocate(vm, block, 100, 0);
    assert_int_equal(mqlua_vm_memory(vm), used);
    mqlua_vm_free(vm);
}

/* Also a block that is kept counts, and when a collection is not due. */
static void at_the_cap(void **state)
{
    mqlua_vm *vm = mqlua_vm_new(&(mqlua_vm_limits){.memory = (size_t)1 << 20});
    assert_non_null(vm);
    void *block = allocate(vm, NULL, 0, 40), *other = allocate(vm, NULL, 0, 40);
    allocate(vm, other, 40, 0);
    vm->limits.memory = vm->used + 39;
    vm->pace = vm->used + 100;
    mqlua_vm_enter(vm);
    assert_null(allocate(vm, NULL, 0, 40));
    vm->pace = vm->used + 100;
    other = allocate(vm, NULL, 0, 39);
    assert_non_null(other);
    mqlua_vm_leave(vm);
    allocate(vm, other, 39, 0);
    allocate(vm, block, 40, 0);
    mqlua_vm_free(vm);
}

static int fill(lua_State *L)
{
    if (luaL_loadstring(L, lua_touserdata(L, 1)))
        lua_error(L);
    lua_call(L, 0, 0);
    return 0;
}

/* However little is left at the end, and whether or not it is enough for Lua to say so: the error names the
 * cap. */
static void told_at_the_cap(void **state)
{
    for (int odd = 0; odd < 40; odd++) {
        char code[120], *error = NULL;
        snprintf(code, sizeof code, "local s, t = ('x'):rep(%d), {} for i = 1, 1e9 do t[i] = {} end",
                 1 + 16 * odd);
        mqlua_vm *vm = mqlua_vm_new(&(mqlua_vm_limits){.memory = 1000 * 1024});
        assert_non_null(vm);
        assert_int_not_equal(mqlua_vm_call(vm, fill, code, &error), 0);
        assert_non_null(error);
        if (!strstr(error, "not enough memory (the cap is 1000 KB)"))
            fail_msg("%d: %s", odd, error);
        free(error);
        mqlua_vm_free(vm);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(left_alone), cmocka_unit_test(without_memory),
                                       cmocka_unit_test(at_the_cap), cmocka_unit_test(told_at_the_cap)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
