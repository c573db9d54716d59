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
#include "vm/heavy.h"
#include "vm/vm.h"

/* Runs a chunk with LuaJIT's own functions in the global table stock, beside ours. */
static int run_text(lua_State *L)
{
    if (luaL_loadstring(L, "stock = {string = {}, table = {}}\n"
                           "return function(name) for k, v in pairs(_G[name]) do stock[name][k] = v end end"))
        lua_error(L);
    lua_call(L, 0, 1);
    for (int i = 0; i < 2; i++) {
        lua_pushcfunction(L, i ? luaopen_table : luaopen_string);
        lua_call(L, 0, 0);
        lua_pushvalue(L, -1);
        lua_pushstring(L, i ? "table" : "string");
        lua_call(L, 1, 0);
    }
    mqlua_heavy_open(L);
    if (luaL_loadbuffer(L, lua_touserdata(L, 1), strlen(lua_touserdata(L, 1)), "=test"))
        lua_error(L);
    lua_call(L, 0, 0);
    return 0;
}

typedef struct reached {
    const char *code;
    int status;
    char *error;
} reached;

static void run(reached *r, double budget)
{
    mqlua_vm_limits limits = {.memory = 64 << 20, .budget = budget};
    mqlua_vm *vm = mqlua_vm_new(&limits);
    assert_non_null(vm);
    r->status = mqlua_vm_call(vm, run_text, (void *)r->code, &r->error);
    mqlua_vm_free(vm);
}

static void runs(const char *code)
{
    reached r = {.code = code};
    run(&r, 60);
    if (r.status)
        fail_msg("%s", r.error ? r.error : "?");
    free(r.error);
}

/* same(library, name, make): the functions with the arguments that make returns, made twice. Arguments are
 * compared too, as tables are changed in place. */
#define SAME                                                                                                 \
    "local function all(...) return {n = select('#', ...), ...} end\n"                                       \
    "local function flat(t)\n"                                                                               \
    "  local out = {}\n"                                                                                     \
    "  for i = 1, t.n do\n"                                                                                  \
    "    local v = t[i]\n"                                                                                   \
    "    if type(v) == 'table' then\n"                                                                       \
    "      local n = 0 for k, x in pairs(v) do n = n + 1 end\n"                                              \
    "      out[#out + 1] = 'table of ' .. n\n"                                                               \
    "      for j = -3, #v + 3 do out[#out + 1] = type(v[j]) == 'table' and v[j].name or tostring(v[j]) "     \
    "end\n"                                                                                                  \
    "    elseif type(v) == 'function' then out[#out + 1] = 'function'\n"                                     \
    "    else out[#out + 1] = type(v) .. tostring(v) end\n"                                                  \
    "  end\n"                                                                                                \
    "  return stock.table.concat(out, '\\n')\n"                                                              \
    "end\n"                                                                                                  \
    "local function same(library, name, make)\n"                                                             \
    "  local was, is = stock[library][name], _G[library][name] assert(was ~= is)\n"                          \
    "  local a, b = all(make()), all(make())\n"                                                              \
    "  local t = {[name] = was}\n"                                                                           \
    "  local x = flat(all(pcall(function() return (function(...) return ... end)(t[name](unpack(a, 1, "      \
    "a.n))) end)))\n"                                                                                        \
    "  t[name] = is\n"                                                                                       \
    "  local y = flat(all(pcall(function() return (function(...) return ... end)(t[name](unpack(b, 1, "      \
    "b.n))) end)))\n"                                                                                        \
    "  local function line(s) return (s:gsub('test:%d+', 'test')) end\n"                                     \
    "  if line(x) ~= line(y) then error(name .. ': ' .. x:sub(1, 300) .. ' <> ' .. y:sub(1, 300), 2) end\n"  \
    "  x, y = flat(a), flat(b)\n"                                                                            \
    "  if x ~= y then error(name .. ' left: ' .. x:sub(1, 300) .. ' <> ' .. y:sub(1, 300), 2) end\n"         \
    "end\n"

static void test_strings(void **state)
{
    runs(SAME "local long = ('aB\\0z{Zy@[`\\200'):rep(2000)\n"
              "for _, name in ipairs{'lower', 'upper', 'reverse'} do\n"
              "  for _, s in ipairs{'', 'a', long, 12, {}, true} do same('string', name, function() return s "
              "end) end\n"
              "  same('string', name, function() end) same('string', name, function() return nil end)\n"
              "end\n"
              "for _, s in ipairs{'', 'x', 'abc', long, 7, {}} do\n"
              "  for _, n in ipairs{-5, 0, 0.5, 1, 2, 2.9, 3, 17, 100, '4', 'x', {}} do\n"
              "    for _, gap in ipairs{'', ',', '<->', long, 1, {}} do\n"
              "      same('string', 'rep', function() return s, n, gap end)\n"
              "    end\n"
              "    same('string', 'rep', function() return s, n end)\n"
              "  end\n"
              "end\n"
              "same('string', 'rep', function() return 'ab', 300000 end) same('string', 'rep', function() "
              "return 'a' end)\n"
              "same('string', 'rep', function() end)\n"
              "same('string', 'format', function() return '%s %5d %q %%', 'x', 3, 'a\\n' end)\n"
              "same('string', 'format', function() return '%s %d', 'x' end) same('string', 'format', "
              "function() end)\n"
              "same('string', 'format', function() return '%y' end) same('string', 'format', function() "
              "return '%d', 'x' end)");
}

static void test_tables(void **state)
{
    runs(SAME "local function list(n) local t = {} for i = 1, n do t[i] = i end return t end\n"
              "for _, n in ipairs{0, 1, 5, 9000} do\n"
              "  same('table', 'insert', function() return list(n), 'x' end)\n"
              "  for at = -3, 9 do same('table', 'insert', function() return list(n), at, 'x' end) end\n"
              "  same('table', 'insert', function() return list(n), n + 7, 'x' end)\n"
              "  same('table', 'insert', function() return list(n), nil, 'x' end)\n"
              "  same('table', 'insert', function() return list(n) end)\n"
              "  same('table', 'insert', function() return list(n), 1, 2, 3 end)\n"
              "  for _, gap in ipairs{'', ', ', 5, {}} do\n"
              "    same('table', 'concat', function() return list(n), gap end)\n"
              "    for i = -1, 3 do for _, j in ipairs{-1, 0, 3, n, n + 1} do\n"
              "      same('table', 'concat', function() return list(n), gap, i, j end)\n"
              "    end end\n"
              "  end\n"
              "  same('table', 'concat', function() return list(n) end)\n"
              "  same('table', 'concat', function() local t = list(n) t[3] = {name = 'x'} return t end)\n"
              "end\n"
              "for _, name in ipairs{'insert', 'concat', 'sort'} do\n"
              "  same('table', name, function() end) same('table', name, function() return nil end)\n"
              "  same('table', name, function() return 'x', 'y' end) same('table', name, function() return "
              "{}, true end)\n"
              "end");
}

static void test_sort(void **state)
{
    runs(SAME
         "local function list(n, kind)\n"
         "  local t, x = {}, 42\n"
         "  for i = 1, n do\n"
         "    x = (x * 1103515245 + 12345) % 2147483648\n"
         "    if kind == 'number' then t[i] = x % 1000 elseif kind == 'string' then t[i] = tostring(x)\n"
         "    else t[i] = {key = x % 50, name = 'n' .. i} end\n"
         "  end\n"
         "  return t\n"
         "end\n"
         "local function by_key(a, b) return a.key < b.key end\n"
         "for _, n in ipairs{0, 1, 2, 3, 10, 256, 257, 5000} do\n"
         "  same('table', 'sort', function() return list(n, 'number') end)\n"
         "  same('table', 'sort', function() return list(n, 'number'), function(a, b) return a > b end end)\n"
         "  same('table', 'sort', function() return list(n, 'string') end)\n"
         "  same('table', 'sort', function() return list(n, 'object'), by_key end)\n"
         "  same('table', 'sort', function() return list(n, 'object') end)\n"
         "  same('table', 'sort', function() return list(n, 'number'), rawequal end)\n"
         "  same('table', 'sort', function() return list(n, 'number'), function() return true end end)\n"
         "  same('table', 'sort', function() return list(n, 'number'), function() error('stop') end end)\n"
         "  same('table', 'sort', function() local t = list(n, 'number') t[#t + 1] = 'x' return t end)\n"
         "  same('table', 'sort', function() return list(n, 'number'), 5 end)\n"
         "end");
}

static void test_stopped_by_budget(void **state)
{
    static const char *const codes[] = {
        "local t = {} for i = 1, 20000 do t[i] = i end while true do table.insert(t, 1, 0) t[#t] = nil end",
        "table.insert({}, -2^31 + 10, 1)",
        "local t = {} for i = 1, 20000 do t[i] = 20000 - i end while true do table.sort(t) end",
        "local t = {} for i = 1, 20000 do t[i] = i end while true do table.sort(t, rawequal) end",
        "local t = {} for i = 1, 20000 do t[i] = i end while true do table.sort(t, function() return false "
        "end) end",
        "local t = {} for i = 1, 20000 do t[i] = i end while true do table.concat(t, ',') end",
        "local t = {} for i = 1, 20000 do t[i] = i end while true do table.remove(t, 1) t[#t + 1] = 1 end",
        "local s = ('x'):rep(1000000) while true do s:lower() end",
        "local s = ('x'):rep(1000000) while true do s:reverse() end",
        "local s = ('x'):rep(1000000) while true do string.format('%s', s) end",
        "while true do ('x'):rep(1000000) end",
        "while true do pcall(string.rep, 'x', 1000000) end",
        "while true do collectgarbage() end",
        /* strings that are there already: nothing is allocated */
        "local s = ('x'):rep(20e6) while true do local t = s:sub(1) end",
        "local s = ('x'):rep(20e6) while true do local t = s .. '' end",
    };
    for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
        reached r = {.code = codes[i]};
        run(&r, 0.05);
        if (!r.status || !r.error || !strstr(r.error, "budget"))
            fail_msg("%s: %s", codes[i], r.error ? r.error : "was not stopped");
        free(r.error);
    }
}

/* A sanitizer makes each block cost a hundred times as much: there it is enough that the code runs. */
#ifdef __SANITIZE_ADDRESS__
#define LARGE    "30"
#define SMALL    "1e5"
#define ROUNDS   "2"
#define FAILURES "1"
#else
#define LARGE    "300"
#define SMALL    "2e6"
#define ROUNDS   "20"
#define FAILURES "5"
#endif

/* Garbage made fast by a policy that keeps little is never the reason for a lack of memory. */
static void test_garbage(void **state)
{
    runs("for i = 1, " LARGE " do local s = ('x'):rep(4e6) .. i end");
    runs("for i = 1, " LARGE "0 do local s = ('x'):rep(3e5) .. i end");
    runs("local live = {} for i = 1, 3e5 do live[i] = {i} end for i = 1, " SMALL " do local t = {i} end");
    runs("local live for i = 1, " ROUNDS " do live = nil live = {} for j = 1, 2e5 do live[j] = {j} end end");
}

/* Live data that nearly fills the cap, then goes: the collector must not wait for twice as much. */
static void test_cap_after_a_failure(void **state)
{
    runs("local function fill() local t = {} while true do t[#t + 1] = {} end end\n"
         "for i = 1, " FAILURES " do\n"
         "  local ok, why = pcall(fill) assert(not ok and why == 'not enough memory', why)\n"
         "  local t = {} for j = 1, 1e5 do t[j] = {} end\n"
         "end");
}

static void test_memory(void **state)
{
    runs("for _, f in ipairs{function() return ('x'):rep(100e6) end, function() return ('x'):rep(2^40) end,\n"
         "  function() return ('xy'):rep(1e300) end, function() return ('x'):rep(1/0) end,\n"
         "  function() local t, s = {}, ('x'):rep(100000) for i = 1, 5000 do t[i] = s end return "
         "table.concat(t) end} do\n"
         "  local ok, why = pcall(f) assert(not ok and why == 'not enough memory', why)\n"
         "end");
}

static void *run_thread(void *argument)
{
    run(argument, 20);
    return NULL;
}

static void test_nesting(void **state)
{
    reached r = {
        .code = "local function nest() table.sort({3, 2, 1}, nest) end\n"
                "local ok, why = pcall(nest) assert(not ok and why:find('stack overflow', 1, true), why)\n"
                "local function fall() return coroutine.wrap(fall)() end\n"
                "ok, why = pcall(fall) assert(not ok and why:find('stack overflow', 1, true), why)\n"
                "local function sink() return assert(coroutine.resume(coroutine.create(sink))) end\n"
                "ok, why = pcall(sink) assert(not ok and why:find('stack overflow', 1, true), why)\n"
                "local deepest = 0\n"
                "local function reader() deepest = deepest + 1 return load(reader) end\n"
                "load(reader) assert(deepest > 10)\n"
                "assert(load('return 5')() == 5 and loadstring('return 6')() == 6 and not load('x x'))"};
    pthread_attr_t attributes;
    pthread_t thread;
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, 256 * 1024), 0);
    assert_int_equal(pthread_create(&thread, &attributes, run_thread, &r), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    if (r.status)
        fail_msg("%s", r.error ? r.error : "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings), cmocka_unit_test(test_tables),
        cmocka_unit_test(test_sort),    cmocka_unit_test(test_stopped_by_budget),
        cmocka_unit_test(test_garbage), cmocka_unit_test(test_cap_after_a_failure),
        cmocka_unit_test(test_memory),  cmocka_unit_test(test_nesting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
