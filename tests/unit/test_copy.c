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
#include "vm/vm_internal.h"
#include "vm/refs.h"

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

/* No memory in the second vm: what fits is moved, what does not is told. The first one is as it was. */
static void test_no_memory(void **state)
{
    mqlua_vm *from = make_vm(0), *to = make_vm(3 << 20);
    mqlua_copy copy = plain();
    char *error = NULL;
    int copied;
    int reference = value(from, "local t = {} for i = 1, 1e5 do t[i] = 'text ' .. i end "
                                "return {big = t, name = 'x', list = {1, 2}}");
    int top = lua_gettop(mqlua_vm_state(from));
    assert_true(mqlua_copy_reference(&copy, from, reference, to, &copied, &error));
    assert_null(error);
    assert_string_equal(copy.lost_path, ".big");
    assert_non_null(strstr(copy.lost, "not enough memory"));
    holds(to, copied, "local t = ... return t.big == nil and t.name == 'x' and t.list[2] == 2");
    assert_int_equal(lua_gettop(mqlua_vm_state(from)), top);
    holds(from, reference, "return #(...).big == 1e5");
    assert_int_equal(mqlua_vm_limits_of(to)->memory, 3 << 20);
    mqlua_vm_free(from);
    mqlua_vm_free(to);
}

static int moves(mqlua_vm *from, int reference, mqlua_vm *to, uint64_t *numbers)
{
    mqlua_copy copy = plain();
    char *error = NULL;
    int copied;
    copy.numbers = numbers;
    assert_true(mqlua_copy_reference(&copy, from, reference, to, &copied, &error));
    return copied;
}

/* What several copies at different times share stays shared, in a circle, too, and in both directions. */
static void test_shared_by_several(void **state)
{
    mqlua_vm *from = make_vm(0), *to = make_vm(0);
    uint64_t numbers = 0;
    int root[3], moved[3];
    value(from, "S = {n = {}} S.n.s = S");
    for (int i = 0; i < 3; i++)
        root[i] = value(from, "return {s = S, own = {}}");
    for (int i = 0; i < 3; i++) {
        moved[i] = moves(from, root[i], to, &numbers);
        value(from, "collectgarbage() for i = 1, 1000 do local t = {} end");
        value(to, "collectgarbage()");
        holds(to, moved[i],
              i ? "return (...).s == S and (...).s.n.s == S and (...).own ~= OWN"
                : "S, OWN = (...).s, (...).own return S.n.s == S");
    }
    int back = moves(to, moved[0], from, &numbers), again = moves(to, moved[1], from, &numbers);
    holds(from, back, "B = (...).s return B ~= S and B.n.s == B");
    holds(from, again, "return (...).s == B");
    mqlua_copy_forget(to);
    holds(to, moves(from, root[0], to, &numbers), "return (...).s ~= S");
    mqlua_vm_free(from);
    mqlua_vm_free(to);
}

/* A table that was made in half, because a member of it was too much, is nobody's. */
static void test_no_half_table(void **state)
{
    mqlua_vm_limits limits = {.values = 1000};
    mqlua_vm *from = make_vm(0), *to = mqlua_vm_new(&limits);
    uint64_t numbers = 0;
    assert_non_null(to);
    value(from, "S = {} for i = 1, 100 do S[i] = {} for j = 1, 100 do S[i][j] = j end end");
    for (int i = 0; i < 3; i++)
        holds(to, moves(from, value(from, "return {{S}, n = 1, {{S}}}"), to, &numbers),
              "return (...)[1] == nil and (...)[2] == nil and (...).n == 1");
    mqlua_vm_free(from);
    mqlua_vm_free(to);
}

/* Neither side keeps for ever what only copies knew, and the first one's collector works again. */
static void test_nothing_is_kept(void **state)
{
    enum { MUCH = 2 << 20 };
    mqlua_vm *from = make_vm(0), *to = make_vm(0);
    uint64_t numbers = 0;
    size_t before[2] = {mqlua_vm_memory(from), mqlua_vm_memory(to)};
    int root = value(from, "local t = {} for i = 1, 50000 do t[i] = {i} end return {t}");
    int moved = moves(from, root, to, &numbers);
    assert_true(mqlua_vm_memory(from) > before[0] + MUCH && mqlua_vm_memory(to) > before[1] + MUCH);
    mqlua_refs_drop(to, moved);
    luaL_unref(mqlua_vm_state(from), LUA_REGISTRYINDEX, root);
    mqlua_vm_collect(to);
    assert_true(mqlua_vm_memory(to) < before[1] + MUCH);
    value(from, "for i = 1, 1e6 do local t = {i} end");
    assert_true(mqlua_vm_memory(from) < before[0] + 2 * MUCH);
    mqlua_vm_collect(from);
    assert_true(mqlua_vm_memory(from) < before[0] + MUCH);
    mqlua_vm_free(from);
    mqlua_vm_free(to);
}

/* A state that is full can still tell what it shares. */
static void test_full_source(void **state)
{
    mqlua_vm *from = make_vm(0), *to = make_vm(0);
    uint64_t numbers = 0;
    int root[2], moved[2];
    value(from, "P = ('x'):rep(8e6) S = {} for i = 1, 30000 do S[i] = {i} end");
    root[0] = value(from, "return {s = S}");
    root[1] = value(from, "local t = {} for i = 1, #S do t[i] = S[i] end return {s = t}");
    from->limits.memory = mqlua_vm_memory(from);
    for (int i = 0; i < 2; i++)
        moved[i] = moves(from, root[i], to, &numbers);
    holds(to, moved[0], "S = (...).s return #S == 30000");
    holds(to, moved[1], "local s = (...).s for i = 1, 30000 do assert(s[i] == S[i]) end return s ~= S");
    mqlua_vm_free(from);
    mqlua_vm_free(to);
}

/* Room for the members is there at once: a table that grows needs the old room and the new one. */
static void test_room_at_once(void **state)
{
    mqlua_vm *from = make_vm(0), *to = make_vm(5 << 20);
    uint64_t numbers = 0;
    int root = value(from, "local t = {} for i = 1, 1e5 do t[i * 1000] = i end return t");
    holds(to, moves(from, root, to, &numbers),
          "for i = 1, 1e5 do if (...)[i * 1000] ~= i then return false end end return true");
    mqlua_vm_free(from);
    mqlua_vm_free(to);
}

static void note_crowded(void *ud, bool refused)
{
    ++*(int *)ud;
}

/* Copies fill three quarters of the cap: what a policy makes of its own has a quarter. That they are refused
 * more is no sign that the state is too full. */
static void test_a_quarter_stays(void **state)
{
    enum { CAP = 4 << 20 };
    mqlua_vm *from = make_vm(0), *to = make_vm(CAP);
    mqlua_copy copy = plain();
    char *error = NULL;
    int copied, crowded = 0;
    mqlua_vm_set_crowded(to, note_crowded, &crowded);
    int reference = value(from, "local t = {} for i = 1, 200 do t[i] = ('%05d'):format(i):rep(8000) end "
                                "return t");
    assert_true(mqlua_copy_reference(&copy, from, reference, to, &copied, &error));
    assert_non_null(strstr(copy.lost, "not enough memory"));
    assert_true(mqlua_vm_memory(to) > CAP / 2 && mqlua_vm_memory(to) <= CAP / 4 * 3 + 4096);
    assert_int_equal(crowded, 0);
    mqlua_vm_free(from);
    mqlua_vm_free(to);
}

/* Many values that are too large, each another one: work on them ends, small ones still move. */
static void test_too_large_often(void **state)
{
    enum { CAP = 3 << 20 };
    mqlua_vm *from = make_vm(0), *to = make_vm(CAP);
    uint64_t numbers = 0;
    for (int i = 0; i < 20; i++)
        holds(to,
              moves(from,
                    value(from, "local t = {} for i = 1, 1e4 do t[i] = {('%99d'):format(i)} end "
                                "return {t = {t, t, {t}}, big = ('x'):rep(4e6), n = 1, s = {2}}"),
                    to, &numbers),
              "return (...).n == 1 and (...).s[1] == 2 and not (...).big");
    assert_true(to->copies.spoiled < 2 * CAP);
    mqlua_vm_free(from);
    mqlua_vm_free(to);
}

/* One table that is too large costs its copy once, not once for each that shares it. */
static void test_too_large_once(void **state)
{
    mqlua_vm *from = make_vm(0), *to = make_vm(3 << 20);
    uint64_t numbers = 0;
    value(from, "S = {} for i = 1, 1e5 do S[i] = 'text ' .. i end");
    for (int i = 0; i < 300; i++) {
        mqlua_copy copy = plain();
        char *error = NULL;
        int copied, root = value(from, "return {s = S, n = 1, t = {2}}");
        copy.numbers = &numbers;
        assert_true(mqlua_copy_reference(&copy, from, root, to, &copied, &error));
        holds(to, copied, "return (...).s == nil and (...).n == 1 and (...).t[1] == 2");
        assert_string_equal(copy.lost_path, ".s");
        assert_non_null(strstr(copy.lost, i ? "too large to be copied" : "not enough memory"));
    }
    assert_true(mqlua_vm_memory(to) < 3 << 20);
    assert_true(to->copies.spoiled < 2 * (3 << 20));
    mqlua_vm_free(from);
    mqlua_vm_free(to);
}

/* Whatever the memory, what is there is whole. */
static void test_memory_at_each_step(void **state)
{
    for (size_t memory = 400 << 10; memory < 1600 << 10; memory += 16 << 10) {
        mqlua_vm *from = make_vm(0), *to = make_vm(memory);
        uint64_t numbers = 0;
        value(from, "S = {} for i = 1, 400 do S[i] = {i, {tostring(i):rep(300)}, S} end");
        for (int i = 0; i < 4; i++) {
            mqlua_copy copy = plain();
            char *error = NULL;
            int copied;
            copy.numbers = &numbers;
            int root = value(from, "local t = {s = S, n = 1, [2] = {S}} "
                                   "for i = 1, 300 do t[i * 1000] = i end return t");
            if (mqlua_copy_reference(&copy, from, root, to, &copied, &error))
                holds(to, copied,
                      "for i = 1, 300 do assert((...)[i * 1000] == i) end local s = (...).s if not s then "
                      "return true end for i = 1, 400 do if s[i][1] ~= i or "
                      "#s[i][2][1] < 300 or s[i][3] ~= s then return false end end return #s == 400");
            free(error);
            assert_int_equal(mqlua_vm_limits_of(to)->memory, memory);
        }
        mqlua_vm_free(from);
        mqlua_vm_free(to);
    }
}

/* Values and bytes are counted as they are made: what is shared, once. */
static void test_counted(void **state)
{
    mqlua_vm_limits limits = {.values = 1000, .bytes = 100000};
    mqlua_vm *from = make_vm(0), *to = mqlua_vm_new(&limits);
    mqlua_copy copy = plain();
    char *error = NULL;
    int copied;
    assert_non_null(to);
    int reference =
        value(from, "local t, s = {}, ('x'):rep(60000) for i = 1, 40 do t = {t, t} end local big = {} "
                    "for i = 1, 2000 do big[i] = i end return {t = t, a = s, b = s, c = s, big = big}");
    assert_true(mqlua_copy_reference(&copy, from, reference, to, &copied, &error));
    assert_string_equal(copy.lost_path, ".big");
    assert_non_null(strstr(copy.lost, "\"values\""));
    holds(to, copied, "local v = ... return v.t[1] == v.t[2] and #v.a == 60000 and v.c and not v.big");
    assert_true(mqlua_copy_reference(&copy, from, value(from, "return {('y'):rep(70000), ('z'):rep(70000)}"),
                                     to, &copied, &error));
    assert_non_null(strstr(copy.lost, "\"bytes\""));
    holds(to, copied, "return #(...)[1] == 70000 and not (...)[2]");
    mqlua_vm_free(from);
    mqlua_vm_free(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_values),        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_what_is_left_out),    cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_shared_by_several),   cmocka_unit_test(test_no_half_table),
        cmocka_unit_test(test_nothing_is_kept),     cmocka_unit_test(test_full_source),
        cmocka_unit_test(test_room_at_once),        cmocka_unit_test(test_a_quarter_stays),
        cmocka_unit_test(test_too_large_often),     cmocka_unit_test(test_too_large_once),
        cmocka_unit_test(test_memory_at_each_step), cmocka_unit_test(test_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
