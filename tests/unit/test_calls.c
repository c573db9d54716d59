/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "vm/calls.h"
#include <lauxlib.h>

static void note(void *ud, const mqlua_call *call)
{
    static const char *const uses[] = {"dropped", "returned", "used"};
    char *text = ud, *end = text + strlen(text);
    if (call->name)
        snprintf(end, 1000 - strlen(text), "%s %s%s %s:%d\n", call->name, call->inner ? "inner " : "",
                 uses[call->use], call->source, call->line);
    else
        snprintf(end, 1000 - strlen(text), "upvalue %d %s\n", call->upvalue, uses[call->use]);
}

/* What is said about a chunk, or about the function that it returns. */
static void says(const char *chunk, bool of_result, const char *expected)
{
    char text[1000] = "";
    mqlua_calls *calls = mqlua_calls_new("mq");
    assert_non_null(calls);
    lua_State *L = luaL_newstate();
    if (luaL_loadbuffer(L, chunk, strlen(chunk), "@p.lua"))
        fail_msg("%s", lua_tostring(L, -1));
    if (of_result)
        assert_int_equal(lua_pcall(L, 0, 1, 0), 0);
    assert_true(mqlua_calls_read_function(calls, L, note, text));
    assert_int_equal(lua_gettop(L), 1);
    if (strcmp(text, expected) != 0)
        fail_msg("%s\nsays:\n%snot:\n%s", chunk, text, expected);
    lua_close(L);
    mqlua_calls_free(calls);
}

static void test_dropped(void **state)
{
    says("mq.f()", false, "f dropped @p.lua:1\n");
    says("\n\nmq.f(1, 'a', nil)", false, "f dropped @p.lua:3\n");
    says("mq.f(...)", false, "f dropped @p.lua:1\n");
    says("mq.f(g())", false, "f dropped @p.lua:1\n");
    says("mq.f{1} mq.f's' ;(mq).f() mq['f']()", false,
         "f dropped @p.lua:1\nf dropped @p.lua:1\nf dropped @p.lua:1\nf dropped @p.lua:1\n");
    says("if x then mq.f() else\nmq.g(x and 1 or 2) end", false, "f dropped @p.lua:1\ng dropped @p.lua:2\n");
    says("mq.f(mq.g())", false, "f dropped @p.lua:1\ng used @p.lua:1\n");
    says("mq.f(function() return 1 end)", false, "f dropped @p.lua:1\n");
    says("return function()\nmq.f()\nend", false, "f inner dropped @p.lua:2\n");
    says("local mq = mq return function() mq.f() end", false, "f inner dropped @p.lua:1\n");
}

static void test_returned(void **state)
{
    says("return mq.f()", false, "f returned @p.lua:1\n");
    says("return mq.f(...)", false, "f returned @p.lua:1\n");
    says("return (mq.f(1))", false, "f returned @p.lua:1\n");
    says("local v = mq.f() return v", false, "f returned @p.lua:1\n");
    says("local v = mq.f() if x then return v end g(v)", false, "f used @p.lua:1\n");
    says("return x and mq.f() or nil", false, "f returned @p.lua:1\n");
    says("return x and mq.f() or mq.g()", false, "f returned @p.lua:1\ng returned @p.lua:1\n");
    says("if x then local v = 1 g(function() return v end) return mq.f() end", false,
         "f returned @p.lua:1\n");
    says("return g(function() return mq.f() end)", false, "f inner returned @p.lua:1\n");
}

static void test_used(void **state)
{
    says("local v = mq.f()", false, "f used @p.lua:1\n");
    says("x = y and mq.f()", false, "f used @p.lua:1\n");
    says("local _ = mq.f() or mq.g()", false, "f used @p.lua:1\ng used @p.lua:1\n");
    says("g(mq.f()) g(mq.f(), 2) g{mq.f()}", false, "f used @p.lua:1\nf used @p.lua:1\nf used @p.lua:1\n");
    says("if mq.f() then g() end", false, "f used @p.lua:1\n");
    says("return mq.f(), 1", false, "f used @p.lua:1\n");
    says("return 1, mq.f()", false, "f used @p.lua:1\n");
    says("for i in mq.f() do end", false, "f used @p.lua:1\n");
    says("return mq.f() == 1", false, "f used @p.lua:1\n");
}

static void test_not_calls_of_the_table(void **state)
{
    says("-- mq.f()\n--[[ mq.f() ]] local a = 'mq.f()' g[[ mq.f() ]]", false, "");
    says("other.f() other.mq.f() f() mq() mq.log.info('x')", false, "log used @p.lua:1\n");
    says("mq.log:info('x') mq.log[1]() mq.log()()", false,
         "log used @p.lua:1\nlog used @p.lua:1\nlog used @p.lua:1\n");
    says("do local r = mq.f end g()", false, "f used @p.lua:1\n");
    says("local h do local r = mq.f end h()", false, "f used @p.lua:1\n");
    says("do local r = mq.f end (function() end)()", false, "f used @p.lua:1\n");
    says("mq.f = 1", false, "");
    says("return function(mq) mq.f() end", false, "");
    says("local g = mq.f g()", false, "f used @p.lua:1\n");
}

static void test_upvalues(void **state)
{
    says("local a, b = 1, 2 return function() if a then return b end end", true, "upvalue 2 returned\n");
    says("local a, b = 1, 2 return function() return a and b end", true, "upvalue 2 returned\n");
    says("local b = 2 return function() local c = b g() return c end", true, "");
    says("local b = 2 return function() return b, 1 end", true, "");
}

static void test_refused(void **state)
{
    mqlua_calls *calls = mqlua_calls_new("mq");
    char text[1000] = "";
    assert_non_null(calls);
    assert_false(mqlua_calls_read(calls, "\033LJ nonsense", 12, note, text));
    lua_State *L = luaL_newstate();
    lua_pushcfunction(L, lua_error);
    assert_false(mqlua_calls_read_function(calls, L, note, text));
    assert_string_equal(text, "");
    lua_close(L);
    mqlua_calls_free(calls);
    mqlua_calls_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dropped),  cmocka_unit_test(test_returned),
        cmocka_unit_test(test_used),     cmocka_unit_test(test_not_calls_of_the_table),
        cmocka_unit_test(test_upvalues), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
