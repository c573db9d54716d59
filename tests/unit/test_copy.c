/* SPDX-License-Identifier: MIT */

/* Values from one vm to another: what is kept, what is left out and told, and what a failure leaves behind.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "json/value.h"
#include "vm/copy.h"

#include <stdlib.h>
#include <string.h>

static int l_open(lua_State *L)
{
    mqlua_value_open(L);
    lua_pushcfunction(L, mqlua_value_l_array);
    lua_setglobal(L, "array");
    return 0;
}

static mqlua_vm *make_vm(size_t memory)
{
    mqlua_vm_limits limits = {.memory = memory};
    mqlua_vm *vm = mqlua_vm_new(&limits);
    assert_non_null(vm);
    assert_int_equal(mqlua_vm_setup(vm, l_open, NULL, NULL), 0);
    return vm;
}

typedef struct chunk {
    const char *text;
    int reference;
} chunk;

static int l_value(lua_State *L)
{
    chunk *c = lua_touserdata(L, 1);
    if (luaL_loadstring(L, c->text))
        return lua_error(L);
    lua_call(L, 0, 1);
    c->reference = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static int value(mqlua_vm *vm, const char *text)
{
    chunk c = {.text = text};
    char *error = NULL;
    if (mqlua_vm_setup(vm, l_value, &c, &error))
        fail_msg("%s", error);
    return c.reference;
}

static int l_check(lua_State *L)
{
    chunk *c = lua_touserdata(L, 1);
    if (luaL_loadstring(L, c->text))
        return lua_error(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->reference);
    lua_call(L, 1, 1);
    if (!lua_toboolean(L, -1))
        return luaL_error(L, "not so: %s", c->text);
    return 0;
}

static void holds(mqlua_vm *vm, int reference, const char *text)
{
    chunk c = {text, reference};
    char *error = NULL;
    if (mqlua_vm_setup(vm, l_check, &c, &error))
        fail_msg("%s", error);
}

static mqlua_copy plain(void)
{
    return (mqlua_copy){.other = mqlua_value_carry, .mark = mqlua_value_carry_mark};
}

/* Copies what source returns and lets check look at it as its ... */
static void copies(const char *source, const char *check)
{
    mqlua_vm *from = make_vm(0), *to = make_vm(0);
    mqlua_copy copy = plain();
    char *error = NULL;
    int copied;
    int tops[] = {lua_gettop(mqlua_vm_state(from)), lua_gettop(mqlua_vm_state(to))};
    assert_true(mqlua_copy_reference(&copy, from, value(from, source), to, &copied, &error));
    assert_null(error);
    assert_null(copy.type);
    assert_int_equal(lua_gettop(mqlua_vm_state(from)), tops[0]);
    assert_int_equal(lua_gettop(mqlua_vm_state(to)), tops[1]);
    mqlua_vm_free(from); /* nothing of it is needed any more */
    holds(to, copied, check);
    mqlua_vm_free(to);
}

static void test_plain_values(void **state)
{
    copies("return true", "return ... == true");
    copies("return 1.5", "return ... == 1.5");
    copies("return 'a\\0b'", "return ... == 'a\\0b'");
    copies("return 9007199254740993LL", "return ... == 9007199254740993LL and type(...) == 'cdata'");
    copies("return 18446744073709551615ULL", "return ... == 18446744073709551615ULL");
    copies("return {1, {2, x = 'y'}, [true] = 3, [2^60] = 4}",
           "local t = ... return t[1] == 1 and t[2][1] == 2 and t[2].x == 'y' and t[true] == 3 and t[2^60] "
           "== 4");
}

static void test_shapes(void **state)
{
    copies("local a = {1} return {a, a, {a}}", "local t = ... return t[1] == t[2] and t[1] == t[3][1]");
    copies("local a = {} a.a = a return a", "local t = ... return t.a == t");
    copies("return {array{}, {}}",
           "local t = ... return getmetatable(t[1]) == 'array' and getmetatable(t[2]) == nil");
}

static void leaves_out(const char *source, const char *path, const char *type, const char *check)
{
    mqlua_vm *from = make_vm(0), *to = make_vm(0);
    mqlua_copy copy = plain();
    char *error = NULL;
    int copied;
    assert_true(mqlua_copy_reference(&copy, from, value(from, source), to, &copied, &error));
    assert_string_equal(copy.path, path);
    assert_string_equal(copy.type, type);
    if (check)
        holds(to, copied, check);
    else
        assert_int_equal(copied, LUA_NOREF);
    mqlua_vm_free(from);
    mqlua_vm_free(to);
}

#define TEN  ".x.x.x.x.x.x.x.x.x.x"
#define DEEP TEN TEN TEN TEN ".x.x.x.x.x.x.x.x.x." /* as much as there is room for */

static void test_what_is_left_out(void **state)
{
    leaves_out("return type", "", "function", NULL);
    leaves_out("return {a = {1, type}}", ".a[2]", "function", "return (...).a[1] == 1 and #(...).a == 1");
    leaves_out("return {[type] = 1, b = 2}", "", "function", "return (...).b == 2");
    leaves_out("return {coroutine.create(type)}", "[1]", "thread", "return next(...) == nil");
    leaves_out("local t = {} local u = t for i = 1, 200 do u.x = {} u = u.x end return t", DEEP,
               "table that is too deep",
               "local t, n = ..., 0 while t do t, n = t.x, n + 1 end return n == 100");
}

/* No memory in the second vm: the first one is as it was, and works. */
static void test_no_memory(void **state)
{
    mqlua_vm *from = make_vm(0), *to = make_vm(3 << 20);
    mqlua_copy copy = plain();
    char *error = NULL;
    int copied, reference = value(from, "local t = {} for i = 1, 1e5 do t[i] = 'text ' .. i end return t");
    int top = lua_gettop(mqlua_vm_state(from));
    assert_false(mqlua_copy_reference(&copy, from, reference, to, &copied, &error));
    assert_int_equal(copied, LUA_NOREF);
    assert_non_null(strstr(error, "not enough memory"));
    free(error);
    assert_int_equal(lua_gettop(mqlua_vm_state(from)), top);
    holds(from, reference, "return #... == 1e5");
    assert_true(mqlua_copy_reference(&copy, from, value(from, "return {1}"), to, &copied, &error));
    holds(to, copied, "return (...)[1] == 1");
    mqlua_vm_free(from);
    mqlua_vm_free(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_values),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_what_is_left_out),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
