/* SPDX-License-Identifier: MIT */

/* mq.re: results, misuse, limits, and what is kept. */

#include "script.h"

#include "api/re.h"
#include "vm/bytes.h"
#include "vm/stack.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

static int set_up(void **state)
{
    static void (*parts[])(lua_State *) = {mqlua_re_open, NULL};
    mqlua_env *env = calloc(1, sizeof *env);
    assert_non_null(env);
    script_vm(env, parts);
    *state = env;
    return 0;
}

static int tear_down(void **state)
{
    mqlua_env *env = *state;
    mqlua_vm_free(env->vm);
    free(env);
    return 0;
}

static mqlua_vm *vm_of(void **state)
{
    return ((mqlua_env *)*state)->vm;
}

/* Each line: an expression, and what it gives. Three times: machine code is made for what is used again. */
static void gives(mqlua_vm *vm, const char *const (*cases)[2])
{
    static const char helpers[] =
        "local m, f, g, s, sp = mq.re.match, mq.re.find, mq.re.gsub, mq.re.sub, mq.re.split\n"
        "local function all(...)\n"
        "  local out = {}\n"
        "  for i = 1, select('#', ...) do out[i] = tostring((select(i, ...))) end\n"
        "  return table.concat(out, ' ')\n"
        "end\n"
        "local function list(t) return t and '['..table.concat(t, '|')..']' end\n"
        "local function every(...)\n"
        "  local out = {}\n"
        "  for found in mq.re.gmatch(...) do out[#out + 1] = found[0] end\n"
        "  return list(out)\n"
        "end\n";
    char text[2000];
    for (; (*cases)[0]; cases++) {
        snprintf(text, sizeof text, "%sreturn %s", helpers, (*cases)[0]);
        for (int i = 0; i < 4; i++)
            script_gives(vm, text, (*cases)[1]);
    }
}

static void raises(mqlua_vm *vm, const char *const (*cases)[2])
{
    char text[600], expected[600];
    for (; (*cases)[0]; cases++) {
        snprintf(text, sizeof text, "local x = %s", (*cases)[0]);
        snprintf(expected, sizeof expected, "policy.lua:1: %s", (*cases)[1]);
        script_raises(vm, text, expected);
    }
}

static void test_match(void **state)
{
    static const char *const cases[][2] = {
        {"m('abc', 'b(c)')[0]", "bc"},
        {"m('abc', 'b(c)')[1]", "c"},
        {"m('abc', 'x')", "nil"},
        {"m('abc', '(x)?a')[1]", "false"},
        {"all(m('abc', '(x)?a')[1], m('abc', '(x)?a')[2])", "false nil"},
        {"m('2026-11-29', [[(?<year>\\d+)-(?<month>\\d+)]]).month", "11"},
        {"all(m('ab', '(?<n>x)|(?<n>a)', 'J').n, m('xb', '(?<n>x)|(?<n>a)', 'J').n)", "a x"},
        {"m('aBc', 'b')", "nil"},
        {"m('aBc', 'b', 'i')[0]", "B"},
        {"m('aBc', ' b # comment', 'joix')[0]", "B"},
        {"m('abc', 'b', 'a')", "nil"},
        {"all(m('a\\nb', 'a.b'), m('a\\nb', 'a.b', 's')[0] == 'a\\nb')", "nil true"},
        {"m('x: 1\\r\\nsubject: hi\\r\\n', '^subject: (.*)$', 'm')[1]", "hi"},
        {"m('', '')[0] == ''", "true"},
        {"m('a\\0b', 'a\\0b')[0] == 'a\\0b'", "true"},
        {"m('abc', '(?:a(*COMMIT)x|b)')", "nil"},
        {"m('xab', '(*UCP)b')[0]", "b"},
        {"m('12', 1)[0]", "1"},
        {"(function() local t = {} return m('abc', 'b', nil, nil, t) == t and t[0] end)()", "b"},
        {"(function() local c = {pos = 2} return all(m('aa', 'a', '', c)[0], c.pos, m('aa', 'a', '', c), "
         "c.pos) "
         "end)()",
         "a 3 nil 3"},
        {"m('abc', 'b', '', {pos = 99})", "nil"},
        {"m('abc', '^b', '', {pos = 2})", "nil"},
        {"m('abc', [[\\Gb]], '', {pos = 2})[0]", "b"},
        {"m('abc', '(?<=a)b', '', {pos = 2})[0]", "b"},
        {NULL, NULL},
    };
    gives(vm_of(state), cases);
}

static void test_find(void **state)
{
    static const char *const cases[][2] = {
        {"all(f('hello, 1234', '([0-9]+)'))", "8 11"},
        {"all(f('hello', 'x'))", "nil"},
        {"all(f('hello, 1234', '([a-z])([0-9])?', '', nil, 1))", "1 1"},
        {"all(f('hello, 1234', '([a-z])([0-9])?', '', nil, 2))", "nil"},
        {"all(f('abc', ''))", "1 0"},
        {NULL, NULL},
    };
    gives(vm_of(state), cases);
}

static void test_gmatch(void **state)
{
    static const char *const cases[][2] = {
        {"every('one, two', [[\\w+]])", "[one|two]"},
        {"every('abc', '')", "[|||]"},
        {"every('abc', 'b*')", "[|b||]"},
        {"every('', 'x')", "[]"},
        {"every('h\\195\\169!', '', 'u')", "[|||]"},
        {"every('h\\195\\169!', '.', 'u') == '[h|\\195\\169|!]'", "true"},
        {NULL, NULL},
    };
    gives(vm_of(state), cases);
}

static void test_replace(void **state)
{
    static const char *const cases[][2] = {
        {"all(s('hello, 1234', '([0-9])[0-9]', '[$0][$1]'))", "hello, [12][1]34 1"},
        {"all(g('hello, 1234', '([0-9])[0-9]', '[$0][${1}]'))", "hello, [12][1][34][3] 2"},
        {"all(g('a-b', '(?<l>a)-(?<r>b)', '${r}-${l}$$1'))", "b-a$1 1"},
        {"all(g('abc', 'x', 'y'))", "abc 0"},
        {"all(g('abc', '', '-'))", "-a-b-c- 4"},
        {"all(g('abc', 'b*', '-'))", "-a--c- 4"},
        {"all(g('\\195\\169', '', '-', 'u')) == '-\\195\\169- 2'", "true"},
        {"all(g('abc', '(x)?b', '[$1]'))", "a[]c 1"},
        {"all(g('abc', '.', function(t) return t[0]:upper() end))", "ABC 3"},
        {"all(g('abc', '.', function(t) if t[0] == 'b' then return 7 end end))", "a7c 3"},
        {"all(s('abc', '.', function() return mq.re.gsub('xyz', '(.)', '$1$1') end))", "xxyyzzbc 1"},
        {"all(g('abc', 'b', 5))", "a5c 1"},
        {"all(g('', '^', 'x'))", "x 1"},
        {NULL, NULL},
    };
    gives(vm_of(state), cases);
}

static void test_split(void **state)
{
    static const char *const cases[][2] = {
        {"list(sp('a,b,c,d', ','))", "[a|b|c|d]"},
        {"list(sp('a,b,c,d,e', ',', nil, nil, 3))", "[a|b|c,d,e]"},
        {"list(sp('a,b,c,d,e', ',', nil, {pos = 3}))", "[b|c|d|e]"},
        {"list(sp('a,,b,', ','))", "[a||b|]"},
        {"list(sp('abcd', ''))", "[a|b|c|d]"},
        {"list(sp('a1b2c', '([0-9])'))", "[a|1|b|2|c]"},
        {"list(sp('', ','))", "[]"},
        {"list(sp(',', ','))", "[|]"},
        {"list(sp('abc', 'x'))", "[abc]"},
        {"list(sp('h\\195\\169!', '', 'u')) == '[h|\\195\\169|!]'", "true"},
        {"all(unpack(sp('a,b', ',', nil, nil, nil, {1, 2, 3}), 1, 3))", "a b nil"},
        {NULL, NULL},
    };
    gives(vm_of(state), cases);
}

static void test_set(void **state)
{
    static const char *const cases[][2] = {
        {"mq.re.set({'casino', 'via[g9]ra'}, 'i'):match('VIAGRA')", "2"},
        {"mq.re.set({'casino', 'via[g9]ra'}):match('VIAGRA')", "nil"},
        {"mq.re.set({}):match('x')", "nil"},
        {"list(mq.re.set({'a', 'b', 'c'}):all('cab'))", "[1|2|3]"},
        {"list(mq.re.set({'a', 'x', 'c'}):all('cab'))", "[1|3]"},
        {"list(mq.re.set({'a', '\\195\\169', '[^c]b'}, 'u'):all('c\\255b\\195\\169'))", "[2|3]"},
        {NULL, NULL},
    };
    gives(vm_of(state), cases);
}

/* With u, what is no UTF-8 is matched as bytes; what cannot be said in bytes passes over them. */
static void test_utf(void **state)
{
    static const char *const cases[][2] = {
        {"m('\\195\\137t\\195\\169', '\\195\\169T', 'iu')[0] == '\\195\\137t'", "true"},
        {"m('\\195\\137t', '\\195\\169t', 'i')", "nil"},
        {"#m('\\195\\169', '.', 'u')[0]", "2"},
        {"#m('\\195\\169', '.')[0]", "1"},
        {"#m('\\195\\169', '.', 'U')[0]", "2"},
        {"m('caf\\233', 'caf.', 'u')[0] == 'caf\\233'", "true"},
        {"m('caf\\195\\169 \\255', 'caf\\195\\169', 'u')[0] == 'caf\\195\\169'", "true"},
        {"m('\\255\\226\\130\\172\\254', [[\\x{20ac}]], 'u')[0] == '\\226\\130\\172'", "true"},
        {"m('\\255\\254', [[\\x{20ac}]], 'u')", "nil"},
        {"all(g('\\255a\\237\\160\\128', 'a', 'b', 'u')) == '\\255b\\237\\160\\128 1'", "true"},
        {"every('\\195', '.', 'u') == '[\\195]'", "true"},
        {"m('x\\195\\169', '.', 'u', {pos = 3})", "nil"},
        {NULL, NULL},
    };
    gives(vm_of(state), cases);
}

static void test_misuse(void **state)
{
    static const char *const cases[][2] = {
        {"mq.re.match('a', '(b')", "mq.re: missing closing parenthesis at offset 2 of \"(b\""},
        {"mq.re.match('a', 'a**+')",
         "mq.re: quantifier does not follow a repeatable item at offset 2 of \"a**+\""},
        {"mq.re.match('a', '*a')",
         "mq.re: quantifier does not follow a repeatable item at offset 0 of \"*a\""},
        {"mq.re.match('a', '(*UCP)[')",
         "mq.re: missing terminating ] for character class at offset 7 of \"(*UCP)[\""},
        {"mq.re.match('a', '(*UTF)a')",
         "mq.re: using UTF is disabled by the application at offset 6 of \"(*UTF)a\""},
        {"mq.re.match('a', 'a', 'z')",
         "mq.re: there is no option 'z': there are a, i, j, m, o, s, u, x, D, J and U"},
        {"mq.re.match('a', 'a', 'd')",
         "mq.re: there is no option 'd': there are a, i, j, m, o, s, u, x, D, J and U"},
        {"mq.re.match(nil, 'a')", "bad argument #1 to 'match' (string expected, got nil)"},
        {"mq.re.match('a')", "bad argument #2 to 'match' (string expected, got nil)"},
        {"mq.re.match('a', 'a', '', {pos = 0})", "mq.re: ctx.pos must be a position from 1 on"},
        {"mq.re.match('a', 'a', '', 5)", "bad argument #4 to 'match' (table expected, got number)"},
        {"mq.re.find('a', 'a', '', nil, 1)", "mq.re.find: the expression has no group 1"},
        {"mq.re.gsub('a', 'b', '$1')", "mq.re: the replacement has a $ at byte 1 that is no group of the "
                                       "expression: write $$ for the character "
                                       "itself"},
        {"mq.re.gsub('a', 'b', 'x$')", "mq.re: the replacement has a $ at byte 2 that is no group of the "
                                       "expression: write $$ for the character "
                                       "itself"},
        {"mq.re.gsub('a', '(b)', '${1')", "mq.re: the replacement has a $ at byte 1 that is no group of the "
                                          "expression: write $$ for the character "
                                          "itself"},
        {"mq.re.gsub('a', 'a', function() return {} end)",
         "mq.re: the function must return a text or nil, not a table"},
        {"mq.re.set({'a', 5})", "mq.re.set: entry 2 is a number, not a text"},
        {"mq.re.set({'a', '('})", "mq.re: missing closing parenthesis at offset 1 of \"(\""},
        {"mq.re.match('a', ('a'):rep(70000))", "mq.re: an expression has at most 65536 bytes"},
        {NULL, NULL},
    };
    raises(vm_of(state), cases);
}

/* ---- limits ---- */

/* Expressions that backtrack for ever, and texts that they do it on. */
static const char *const hostile[][2] = {
    {"(a+)+$", "('a'):rep(N)..'!'"},
    {"(a|aa)+$", "('a'):rep(N)..'!'"},
    {"(a*)*b", "('a'):rep(N)..'c'..'b!'"},
    {"(?:a*a*a*a*)x?(c)", "('a'):rep(N)..'!c'"},
    {"^(.*?,){30}P", "('1,'):rep(N)"},
    {"(.*)(.*)(.*)(.*)(.*)[^b]b\\1", "('a'):rep(N)..'b'"},
    {"[^b]*[bc]d", "('a'):rep(N)..'bd'"},
    {"\\w+\\d+\\w+\\d+!", "('1'):rep(N)..'!?'"},
    {"(?=(a+))a*b\\1", "('a'):rep(N)..'ba'"},
    {"((a{0,20}){0,20}){0,20}$", "('a'):rep(N)..'!'"},
    {"(?>(a+)b|a)*c$", "('a'):rep(N)..'cd'"},
    {"^(?:(?:[^,]*,)*x)*$", "('a,b,'):rep(N)"},
    {"(?s)(.+?)\\1\\1\\1\\1\\1!", "('ab'):rep(N)"},
    {"(x+x+)+y", "('x'):rep(N)..'zy'"},
    {"(a(?1)?b)*c!", "('a'):rep(N)..('b'):rep(N)..'c'"},
    {"((?:a|a|a|a|a|a)*)*$", "('a'):rep(N)..'!'"},
    {"(?i)(?:\\x{e9}+)+$", "('\\195\\169'):rep(N)..'!'"},
};

static void run_hostile(mqlua_vm *vm, const char *const *entry, int size, const char *options)
{
    char text[600];
    snprintf(text, sizeof text,
             "local N = %d\nlocal text = %s\n"
             "for i = 1, 4 do\n"
             "  local found, err, code = mq.re.match(text, [[%s]], '%s')\n"
             "  if not found and err then assert(code == 'limit' and err:find('backtracking')) end\n"
             "  mq.re.gsub(text, [[%s]], '', '%s')\n"
             "  mq.re.split(text, [[%s]], '%s')\n"
             "end\n",
             size, entry[1], entry[0], options, entry[0], options, entry[0], options);
    script s = {.text = text};
    char *error = NULL;
    struct timespec before, after;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    int status = mqlua_vm_call(vm, l_run_script, &s, &error);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    double seconds = (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) * 1e-9;
    if (status && !(error && (strstr(error, "run-time budget") || strstr(error, "not enough memory"))))
        fail_msg("%s: %s", entry[0], error ? error : "?");
    if (seconds > 1) /* the budget is 0.1 s; the sanitizers take their part */
        fail_msg("%s on %d characters, '%s': %d ms", entry[0], size, options, (int)(seconds * 1000));
    free(status ? error : NULL);
    free(s.result);
}

/* Whatever the expression: an answer, a limit, or the end of the budget. */
static void test_hostile(void **state)
{
    static const int sizes[] = {30, 1000, 3000, 500 * 1000};
    mqlua_vm *vm = vm_of(state);
    mqlua_vm_set_budget(vm, 0.1);
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++)
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
            run_hostile(vm, hostile[i], sizes[k], k % 2 ? "u" : "");
    mqlua_vm_set_budget(vm, 0);
    script_gives(vm, "return mq.re.match('abc', 'b')[0]", "b");
}

/* A limit is a result, and the handler goes on. */
static void test_limit_is_returned(void **state)
{
    mqlua_vm *vm = vm_of(state);
    script_gives(vm, "return select(3, mq.re.match(('a'):rep(40)..'!', '(a+)+$'))", "limit");
    script_gives(vm, "return select(4, mq.re.find(('a'):rep(40)..'!', '(a+)+$'))", "limit");
    script_gives(vm, "return select(4, mq.re.gsub(('a'):rep(40)..'!', '(a+)+$', ''))", "limit");
    script_gives(vm, "return select(3, mq.re.split(('a'):rep(40)..'!', '(a+)+$'))", "limit");
    script_gives(vm, "return select(3, mq.re.gmatch(('a'):rep(40)..'!', '(a+)+$')())", "limit");
    script_gives(vm, "local next = mq.re.gmatch(('a'):rep(40)..'!', '(a+)+$') next() return next()", "nil");
    script_gives(vm, "return select(3, mq.re.set({'x', '(a+)+$'}):match(('a'):rep(40)..'!'))", "limit");
    script_gives(vm, "return mq.re.set({'x', '(a+)+$', 'a!'}):match(('a'):rep(40)..'!')", "3");
}

/* What needs more than the quick search is found all the same, with the same groups. */
static void test_careful_search(void **state)
{
    mqlua_vm *vm = vm_of(state);
    script_gives(vm,
                 "local text = ('x: y\\r\\n'):rep(3000)..'\\r\\nbody'\n"
                 "local m = mq.re.match(text, [[^((?:[^\\r\\n]+\\r\\n)*?)\\r\\n(?<body>.*)$]], 's')\n"
                 "return #m[1]..m.body",
                 "18000body");
    script_gives(vm,
                 "local text = ('ab,'):rep(20000)..'ac'\n"
                 "return table.concat({mq.re.find(text, '(?:ab,)+(a(?:b|c))$')}, ' ')",
                 "1 60002");
    script_gives(vm, "return mq.re.match('z'..('a'):rep(50000)..'b', [[(?:a|x)+b]])[0]:len()", "50001");
}

/* ---- what is kept ---- */

static void test_many_expressions(void **state)
{
    mqlua_vm *vm = vm_of(state);
    size_t before;
    script_gives(vm, "return mq.re.match('a', 'a')[0]", "a");
    mqlua_vm_collect(vm);
    before = mqlua_vm_memory(vm);
    script_gives(vm,
                 "for i = 1, 20000 do\n"
                 "  for k = 1, i % 7 do assert(mq.re.match('x'..i, '(x)('..i..')')[2] == tostring(i)) end\n"
                 "end\n"
                 "return 'done'",
                 "done");
    mqlua_vm_collect(vm);
    assert_in_range(mqlua_vm_memory(vm), 0, before + 512 * 1024);
    script_gives(vm,
                 "for i = 1, 300 do mq.re.match('x', ('(?:abc|def){0,3}'):rep(200)..i) end\n"
                 "return 'done'",
                 "done");
    mqlua_vm_collect(vm);
    assert_in_range(mqlua_vm_memory(vm), 0, before + 2 * 1024 * 1024);
}

/* An iterator, a set and a running gsub keep their expression, whatever else is compiled. */
static void test_expressions_in_use(void **state)
{
    script_gives(vm_of(state),
                 "local function fill() for i = 1, 600 do mq.re.match('', 'y'..i) end collectgarbage() end\n"
                 "local next, set = mq.re.gmatch('abc', '[a-c]'), mq.re.set({'b'})\n"
                 "fill()\n"
                 "local out = mq.re.gsub('abc', '([a-c])', function(t) fill() return t[1]..next()[0] end)\n"
                 "return out..set:match('b')",
                 "aabbcc1");
}

/* ---- memory and stacks ---- */

static const char some_of_all[] = "local text = ('ab,'):rep(2000)..'ac'\n"
                                  "local m = mq.re.match('x1', '(?<l>x)(?<d>1)')\n"
                                  "local n = select(2, mq.re.gsub(text, 'b', '[$0]'))\n"
                                  "for i = 1, 4 do mq.re.find(text, '(?:ab,)+(a(?:b|c))$', 'u') end\n"
                                  "mq.re.match('\\255', '\\195\\169', 'u')\n"
                                  "local s = mq.re.set({'a', 'b'})\n"
                                  "return m.l..m.d..n..#mq.re.split(text, ',')..#s:all('ab')";

/* Each request for memory fails once: what comes is the result or an error, and nothing is lost. */
static void test_memory_is_out(void **state)
{
    static void (*parts[])(lua_State *) = {mqlua_re_open, NULL};
    size_t memory;
    bool done = false;
    {
        mqlua_env env = {0};
        mqlua_vm *vm = script_vm(&env, parts);
        memory = mqlua_vm_memory(vm);
        mqlua_vm_free(vm);
    }
    for (int i = 0; i < 1000 && !done; i++) {
        mqlua_vm_limits limits = {.memory = memory + (i < 500 ? 480 : 32000) * (size_t)i};
        mqlua_env env = {.vm = mqlua_vm_new(&limits)};
        script open = {.parts = parts}, s = {.text = some_of_all};
        char *error = NULL;
        assert_non_null(env.vm);
        mqlua_vm_set_owner(env.vm, &env);
        assert_int_equal(mqlua_vm_setup(env.vm, l_open_parts, &open, NULL), 0);
        if (mqlua_vm_call(env.vm, l_run_script, &s, &error) == 0) {
            assert_string_equal(s.result, "x12000"
                                          "2001"
                                          "2");
            done = true;
        } else if (!error || !strstr(error, "not enough memory")) {
            fail_msg("%d: %s", i, error ? error : "?");
        }
        free(error);
        free(s.result);
        mqlua_vm_free(env.vm);
    }
    assert_true(done);
}

static void *on_a_small_stack(void *ud)
{
    mqlua_vm *vm = ud;
    script s = {.text = "local p = ('('):rep(100)..'a'..(')'):rep(100)\n"
                        "for i = 1, 5 do assert(#mq.re.match('xa', p) == 100) end\n"
                        "local l = ('(?:'):rep(99)..'a|b'..(')*'):rep(99)..'c'\n"
                        "for i = 1, 5 do mq.re.match(('ab'):rep(5000), l) end\n"
                        "for i = 1, 5 do mq.re.match(('ab'):rep(50000), '(?:a|b)*c') end\n"
                        "local ok, err = pcall(mq.re.match, '', '('..p..')')\n"
                        "return err"};
    char *error = NULL;
    if (mqlua_vm_call(vm, l_run_script, &s, &error))
        return error;
    return s.result;
}

static void test_small_stack(void **state)
{
    mqlua_vm *vm = vm_of(state);
    pthread_attr_t attributes;
    pthread_t thread;
    void *result = NULL;
    pthread_attr_init(&attributes);
    /* frames of ours are three times as large with AddressSanitizer (vm/stack.h) */
    pthread_attr_setstacksize(&attributes, (MQLUA_STACK_FACTOR > 1 ? 2 : 1) * 256 * 1024);
    assert_int_equal(pthread_create(&thread, &attributes, on_a_small_stack, vm), 0);
    pthread_attr_destroy(&attributes);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_non_null(result);
    if (!strstr(result, "parentheses are too deeply nested"))
        fail_msg("%s", (const char *)result);
    free(result);
}

static int push_buffer(lua_State *L)
{
    static const char text[] = "Subject: hello\r\nFrom: joe\r\n";
    lua_pushnil(L);
    mqlua_bytes_push_copy(L, text, sizeof text - 1);
    lua_setglobal(L, "buffer");
    return 0;
}

static void test_buffer(void **state)
{
    mqlua_vm *vm = vm_of(state);
    assert_int_equal(mqlua_vm_setup(vm, push_buffer, NULL, NULL), 0);
    script_gives(vm, "return mq.re.match(buffer, '^from: (.*)$', 'im')[1]", "joe");
    script_gives(vm, "return (mq.re.sub(buffer, 'hello', 'bye')):sub(1, 12)", "Subject: bye");
    script_gives(vm, "local n = 0 for m in mq.re.gmatch(buffer, '^', 'm') do n = n + 1 end return n", "2");
    script_gives(vm, "return #mq.re.split(buffer, '\\r\\n')", "3");
    script_gives(vm, "return mq.re.set({'joe'}):match(buffer)", "1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_match, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_find, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gmatch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_replace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_split, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_set, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_utf, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_misuse, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hostile, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limit_is_returned, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_careful_search, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_expressions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_expressions_in_use, set_up, tear_down),
        cmocka_unit_test(test_memory_is_out),
        cmocka_unit_test_setup_teardown(test_small_stack, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_buffer, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
