/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <pthread.h>
#include "vm/pattern.h"
#include "vm/vm.h"

typedef struct reached {
    int status;
    char *error;
} reached;

/* Runs a chunk with LuaJIT's own functions in the global table stock, beside ours in string. */
static int run_text(lua_State *L)
{
    static const char *const libraries[] = {"string", "table"};
    lua_newtable(L);
    lua_setglobal(L, "stock");
    for (int i = 0; i < 2; i++) {
        lua_pushcfunction(L, i ? luaopen_table : luaopen_string);
        lua_call(L, 0, 0);
        if (luaL_loadstring(L, "for k, v in pairs(...) do stock[k] = v end"))
            lua_error(L);
        lua_getglobal(L, libraries[i]);
        lua_call(L, 1, 0);
    }
    mqlua_pattern_open(L);
    if (luaL_loadstring(L, lua_touserdata(L, 1)))
        lua_error(L);
    lua_call(L, 0, 0);
    return 0;
}

static reached run(const mqlua_vm_limits *limits, const char *code)
{
    reached result = {0};
    mqlua_vm *vm = mqlua_vm_new(limits);
    assert_non_null(vm);
    result.status = mqlua_vm_call(vm, run_text, (void *)code, &result.error);
    mqlua_vm_free(vm);
    return result;
}

static void runs(const char *code)
{
    mqlua_vm_limits limits = {.memory = 64 << 20, .budget = 60};
    reached result = run(&limits, code);
    if (result.status)
        fail_msg("%s: %s", code, result.error ? result.error : "?");
    free(result.error);
}

/* The same calls through both; results, captures and messages must agree. */
static const char compare[] =
    "local calls = ...\n"
    "local function all(...) return {n = select('#', ...), ...} end\n"
    "local function collect(gmatch, s, p)\n"
    "  local out = {}\n"
    "  for a, b, c in gmatch(s, p) do out[#out + 1] = tostring(a)..'/'..tostring(b)..'/'..tostring(c) end\n"
    "  return #out, table.concat(out, ';')\n"
    "end\n"
    "local function same(name, ...)\n"
    "  local a, b = all(pcall(stock[name], ...)), all(pcall(string[name], ...))\n"
    "  local what = name..' '..tostring((...))..' '..tostring((select(2, ...)))\n"
    "  assert(a.n == b.n, what)\n"
    "  for i = 1, a.n do\n"
    "    if type(a[i]) ~= 'function' then\n"
    "      assert(a[i] == b[i], what..': '..tostring(a[i])..' <> '..tostring(b[i]))\n"
    "    end\n"
    "  end\n"
    "end\n"
    "assert(stock.find ~= string.find and stock.gsub ~= string.gsub)\n"
    "for _, case in ipairs(calls) do\n"
    "  local s, p = case[1], case[2]\n"
    "  for init = -4, 12 do same('find', s, p, init) same('match', s, p, init) same('find', s, p, init, "
    "true) end\n"
    "  same('find', s, p) same('match', s, p)\n"
    "  local a, b = all(pcall(collect, stock.gmatch, s, p)), all(pcall(collect, string.gmatch, s, p))\n"
    "  for i = 1, 3 do assert(a[i] == b[i], 'gmatch '..s..' '..p..tostring(a[i])..tostring(b[i])) end\n"
    "  for _, repl in ipairs{'<%0>', '%1', '[%1%2]', '%%', '%', '', 7, {a = 'A', b = false, c = 3}, {a = "
    "{}},\n"
    "                        function(...) return select('#', ...) end, function() end,\n"
    "                        function(x) return x .. '!' end, function() return {} end} do\n"
    "    for _, most in ipairs{-1, 0, 1, 2, 100} do same('gsub', s, p, repl, most) end\n"
    "    same('gsub', s, p, repl)\n"
    "  end\n"
    "end\n"
    "same('find') same('find', 'a') same('find', {}, 'a') same('find', 'a', {}) same('find', 'a', 'a', {})\n"
    "same('match') same('match', 12, 1) same('gmatch') same('gmatch', 'a') same('gsub', 'a')\n"
    "same('gsub', 'a', 'a') same('gsub', 'a', 'a', true) same('gsub', 'a', 'a', 'b', {}) same('gsub', 12, 1, "
    "3)\n"
    "same('find', 'abc', 'b', '2') same('find', 'a.c', '.', 1, true) same('find', 'abc', '', 10)\n"
    "same('match', ('a'):rep(300), ('a?'):rep(300)) same('match', ('a'):rep(300), ('a-'):rep(300)..'b')\n"
    "same('match', ('a'):rep(300), ('a?'):rep(199)) same('match', ('a'):rep(300), ('(a)'):rep(32))\n"
    "same('match', ('a'):rep(300), ('(a)'):rep(33)) same('match', ('a'):rep(300), ('()'):rep(32))\n";

static const char cases[] =
    "return {\n"
    "{'', ''}, {'abc', ''}, {'abc', 'b'}, {'abc', '^b'}, {'abc', '^a'}, {'abc', 'c$'}, {'a$c', '$c'}, "
    "{'abc', '^'},\n"
    "{'abc', '$'}, {'abc', '.'}, {'abcabc', '.-c'}, {'aaab', 'a*'}, {'aaab', 'a+'}, {'aaab', 'a-b'}, "
    "{'aaab', 'a?b'},\n"
    "{'aaab', '(a*)(b)'}, {'aaab', '()a()'}, {'aaab', '(a(a)(a))'}, {'abab', '(ab)%1'}, {'abab', '(a)%2'},\n"
    "{'abab', '(a%1)'}, {'abab', '()ab%1'}, {'THE (quick) fox', '%((%a+)%)'}, {'THE (quick) fox', "
    "'%f[%a]%a+%f[%A]'},\n"
    "{'THE (quick) fox', '%f[%z]'}, {'a(b(c)d)e', '%b()'}, {'a(b(c', '%b()'}, {'a', '%b'}, {'a', '%b('}, "
    "{'xaxbx', '%bxx'},\n"
    "{'a', '%f'}, {'a', '%fa'}, {'a', '['}, {'a', '[]'}, {'a', '[]]'}, {'a]', '[]]+'}, {'a', '[^]'}, {'ab]', "
    "'[^]]'},\n"
    "{'a-z', '[a-]'}, {'a-z', '[-a]'}, {'a-z', '[a-%%]'}, {'a%z', '[%a-z]'}, {'a', '[%'}, {'a', '[a'}, {'a', "
    "'[a-'},\n"
    "{'a', '%'}, {'a', 'a%'}, {'b', 'a%'}, {'b', 'a['}, {'a', '('}, {'a', ')'}, {'a', 'a)'}, {'a', '(a'}, "
    "{'a', '(a))'},\n"
    "{'a\\0b', 'a%zb'}, {'a\\0b', 'a\\0b'}, {'a\\0b', 'a.b'}, {'a\\0b', '.\\0b'}, {'a\\0b', '%Z+'}, "
    "{'a\\0b', '[%z]'},\n"
    "{'\\1\\127\\128\\255 \\t\\n', '%c'}, {'\\1\\127\\128\\255 \\t\\n', '[%c%s]+'}, {'\\128\\255', "
    "'[\\128-\\255]'},\n"
    "{'\\128\\255', '%a'}, {'\\128\\255', '%W'}, {'0aF_G', '%x+'}, {'0aF_G', '%X'}, {'a.b', '%p'}, {'a.b', "
    "'%P'},\n"
    "{'a b', '%g+'}, {'a b', '%G'}, {'aBc', '%u'}, {'aBc', '%U'}, {'aBc', '%l'}, {'aBc', '%L'}, {'a1', "
    "'%w%d'},\n"
    "{'a1', '%D'}, {'a1', '%W'}, {'a e', '%e'}, {'a E', '%E'}, {'a^b', 'a^b'}, {'^a', '^^'}, {'^a', "
    "'[%^]'},\n"
    "{'user@host.example', '^(.-)@(.-)$'}, {'user@host', '^([^@]+)@([^@]+)$'}, {'a,b,,c', '([^,]*)'}, "
    "{'a,b', '(.-),'},\n"
    "{'  trim  ', '^%s*(.-)%s*$'}, {'k = v; x=y', '(%w+)%s*=%s*(%w+)'}, {'aaa', 'a-'}, {'aaa', 'a-$'}, "
    "{'aXb', '%u?b'},\n"
    "{'x', '%1'}, {'x', '%0'}, {'x', '(x)%0'}, {'x', '%9'}, {'ab', '*'}, {'*a', '**'}, {'+a', '+a'}, {'-a', "
    "'--a'},\n"
    "{'?a', '?'..'?'}, {'ab', 'a?b?c?'}, {'[x]', '%[(.)%]'}, {'a.b', 'a%.b'}, {'a\\n', 'a%s$'}, {'(a)', "
    "'%(a%)'}, {'aa', '^(a)%1$'},\n"
    "}\n";

static void test_same_as_luajit(void **state)
{
    size_t size = sizeof(compare) + sizeof(cases) + 64;
    char *code = malloc(size);
    assert_non_null(code);
    snprintf(code, size, "local calls = (function() %s end)()\n%s", cases,
             compare + strlen("local calls = ...\n"));
    runs(code);
    free(code);
}

static void test_long_subjects(void **state)
{
    runs("local s = ('x'):rep(200000) .. 'needle' .. ('y'):rep(200000)\n"
         "for _, p in ipairs{'needle', 'n[e]edle', '^x*needle', 'e+d', '%f[n]%a', 'x-n', '[^x]+', 'y*$', "
         "'zzz'} do\n"
         "  local a, b = {stock.find(s, p)}, {string.find(s, p)}\n"
         "  assert(a[1] == b[1] and a[2] == b[2], p)\n"
         "  assert(stock.match(s, p) == string.match(s, p), p)\n"
         "end\n"
         "local a, n = stock.gsub(s, 'x', '%0%0') local b, m = string.gsub(s, 'x', '%0%0') assert(a == b and "
         "n == m)\n"
         "local long = ('ab'):rep(40000)\n"
         "assert(string.find(s .. long .. 'c', long .. 'c', 1, true) == 400007)\n"
         "assert(string.find(long .. 'aab', 'aab', 1, true) == 80001 and not string.find(long, 'aa', 1, "
         "true))\n"
         "assert(string.find(long, 'b' .. long, 1, true) == nil)");
}

/* None of these ends in reasonable time on its own. */
static void test_stopped_by_budget(void **state)
{
    static const char *const codes[] = {
        "return ('a'):rep(3000):find('.-.-.-b')",
        "return ('a'):rep(3000):match('a*a*a*a*b')",
        "return ('a'):rep(30):match(('a?'):rep(30) .. ('a'):rep(30) .. 'b')",
        "return ('('):rep(300000):match('%b()')",
        "return ('ab'):rep(100000):match('(.-)(.-)%1%2c')",
        "return ('a'):rep(300000):gsub('.-.-b', '')",
        "for _ in ('a'):rep(300000):gmatch('.-.-b') do end",
        "while true do pcall(string.find, ('a'):rep(3000), '.-.-.-b') end",
        "return ('a'):rep(500000):match('[bcdefghijklmnopqrstuvwxyz]*a+[^a]+$')",
        "local s = ('a'):rep(100000) while true do string.find(s, 'ab', 1, true) end",
    };
    mqlua_vm_limits limits = {.memory = 64 << 20, .budget = 0.02};
    for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
        reached result = run(&limits, codes[i]);
        if (!result.status || !result.error || !strstr(result.error, "budget"))
            fail_msg("%s: %s", codes[i], result.error ? result.error : "was not stopped");
        free(result.error);
    }
}

/* On the smallest stack that a host is likely to give its threads. */
static void *run_nested(void *argument)
{
    mqlua_vm_limits limits = {.memory = 64 << 20, .budget = 20};
    reached *result = argument;
    *result = run(&limits, "local function nest(c) return (c:gsub('.', nest)) end\n"
                           "local ok, why = pcall(nest, 'a')\n"
                           "assert(not ok and tostring(why):find('stack overflow', 1, true), why)\n"
                           "ok, why = pcall(string.match, ('a'):rep(5000), ('a?'):rep(5000))\n"
                           "assert(not ok and why == 'pattern too complex', why)\n"
                           "ok, why = pcall(string.match, ('a'):rep(5000), ('a-'):rep(5000) .. 'b')\n"
                           "assert(not ok and why == 'pattern too complex', why)\n");
    return NULL;
}

static void test_depth(void **state)
{
    pthread_attr_t attributes;
    pthread_t thread;
    reached result = {0};
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, 256 * 1024), 0);
    assert_int_equal(pthread_create(&thread, &attributes, run_nested, &result), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    if (result.status)
        fail_msg("%s", result.error ? result.error : "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_luajit),
        cmocka_unit_test(test_long_subjects),
        cmocka_unit_test(test_stopped_by_budget),
        cmocka_unit_test(test_depth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
