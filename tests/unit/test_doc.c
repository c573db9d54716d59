/* SPDX-License-Identifier: MIT */

/* What scripts read and write, and what they are told. */

#include "doc_fixture.h"

static void test_reading(void **state)
{
    check(NULL,
          "assert(type(json) == 'table' and next(json) == nil)\n"
          "assert(json.envelope == 'a@example.com' and json.priority == 3 and json.missing == nil)\n"
          "assert(json[''] == 'nameless' and json['message-id'] == 'm1' and json[1] == nil and json['a\\0b'] "
          "== nil)\n"
          "assert(json.real == 0.1 and json.data.customer.vip == true and json.data.customer.rate == 1.5)\n"
          "assert(json.data.customer.id == 12345678901234567LL and type(json.data.customer.id) == 'cdata')\n"
          "assert(json.queues.results == mq.null and json.data.list[3] == mq.null)\n"
          "assert(#json.tags == 2 and json.tags[1] == 'one' and json.tags == json.tags)\n"
          "local n = 0; for i, v in ipairs(json.data.list) do n = n + 1 end; assert(n == 5)\n"
          "assert(getmetatable(json) == 'json')\n"
          "assert(not pcall(setmetatable, json, nil) and not pcall(setmetatable, json.tags, nil))\n",
          NULL);
}

static void test_reading_changes_nothing(void **state)
{
    check(NULL, "for k, v in pairs(json) do local w = json[k] end", NULL);
    check("{\"n\":[1.0,1e2,-0.0,100000000000000000000.5,1.50]}", "assert(#json.n == 5)", NULL);
    check("{}", "json.x = nil; json.y = 1; json.y = nil", NULL);
    check(NULL, "json.priority = 3; json.tags = {'one', 'two'}; json.data = json.data; json.empty = {}",
          NULL);
    check(NULL, "json.none = mq.array{}; json.queues = {results = mq.null}", NULL);
}

static void test_pairs(void **state)
{
    check("{\"b\":1,\"a\":{\"x\":1},\"c\":null}",
          "json.d = 4; json.b = nil\n"
          "local keys = {}\n"
          "for k, v in pairs(json) do keys[#keys + 1] = k; assert(v ~= nil and json[k] == v) end\n"
          "assert(table.concat(keys) == 'acd', table.concat(keys))\n"
          "for k in pairs(json) do json[k] = nil end\n"
          "for k in pairs(json) do error(k) end\n"
          "json.b = 1; json.a = {x = 1}; json.c = mq.null\n"
          "for k, v in pairs({10}) do assert(k == 1 and v == 10) end\n"
          "assert(not pcall(pairs, nil) and not pcall(pairs, 5))\n",
          NULL);
    check("{\"a\":{\"x\":[1]},\"b\":2}",
          "json.c = {1}; json.b = nil\n"
          "local t = json:totable()\n"
          "assert(getmetatable(t) == nil and t.a.x[1] == 1 and t.c[1] == 1 and t.b == nil)\n"
          "t.a.x[1] = 99; t.c[1] = 99; assert(json.a.x[1] == 1 and json.c[1] == 1)\n"
          "json.b = 2; json.c = nil",
          NULL);
    check("{\"totable\":1,\"b\":2}",
          "assert(json:totable().totable == 1 and json:totable().b == 2)\n"
          "for k, v in pairs(json) do assert(type(v) == 'number') end\n"
          "assert(not pcall(function() json.totable = 2 end))\n",
          NULL);
}

static void test_writing(void **state)
{
    check(NULL, "json.pool = 'q'; assert(json.pool == 'q')",
          "{\"envelope\":\"a@example.com\",\"recipient\":\"b@example.com\",\"tags\":[\"one\",\"two\"],"
          "\"data\":{\"customer\":{\"id\":12345678901234567,\"vip\":true,\"rate\":1.50},\"list\":[1,2.25,"
          "null,\"x\",[]]},"
          "\"queues\":{\"results\":null},\"priority\":3,\"empty\":{},\"none\":[],\"pool\":\"q\",\"\":"
          "\"nameless\","
          "\"message-id\":\"m1\",\"real\":0.10}");
    check("{\"tags\":[\"a\",\"b\"],\"r\":1.50}", "table.insert(json.tags, 'c'); json.tags[1] = 'A'",
          "{\"tags\":[\"A\",\"b\",\"c\"],\"r\":1.50}");
    check("{\"tags\":[\"a\",\"b\"],\"r\":1.50}", "table.remove(json.tags); table.remove(json.tags)",
          "{\"tags\":[],\"r\":1.50}");
    check("{\"tags\":[1,2,3]}", "table.remove(json.tags, 1)", "{\"tags\":[2,3]}");
    check("{}", "json.tags = {'x'}; table.insert(json.tags, 'y')", "{\"tags\":[\"x\",\"y\"]}");
    check("{}", "local t = {1}; json.a = t; t[1] = 2; json.a[2] = 3", "{\"a\":[1,3]}");
    check("{\"a\":{\"b\":{\"c\":1.50,\"d\":2}}}", "json.a.b.d = 3; json.a.n = {}",
          "{\"a\":{\"b\":{\"c\":1.50,\"d\":3},\"n\":{}}}");
    check("{\"a\":{\"b\":1,\"c\":2}}", "json.a.b = nil", "{\"a\":{\"c\":2}}");
    check("{\"a\":1,\"b\":2,\"c\":3}", "json.b = nil", "{\"a\":1,\"c\":3}");
    check("{\"a\":[1],\"b\":{\"x\":1}}", "json.a = {x = 1}; json.b = {1}", "{\"a\":{\"x\":1},\"b\":[1]}");
    check("{\"a\":1}", "json.a = mq.null; json[''] = false", "{\"a\":null,\"\":false}");
    check("{\"a\":[1,2]}", "json.a[4] = 4", "{\"a\":[1,2,null,4]}");
    check("{}", "json.a = mq.array{}", "{\"a\":[]}");
    check("{}", "json.a = mq.object{}", "{\"a\":{}}");
    check("{}", "json.a = {}", "{\"a\":{}}");
    check("{}", "json.a = {{}, mq.array()}", "{\"a\":[{},[]]}");
}

static void test_numbers(void **state)
{
    fixture f;
    fixture_start(&f, library, "{\"big\":9007199254740993,\"low\":-9223372036854775808}", NULL, NULL);
    fixture_run(
        &f, "assert(json.big == 9007199254740993LL and json.low == -9223372036854775807LL - 1)\n"
            "json.a = 1; json.b = 0.1; json.c = 1e15; json.d = -0.0; json.e = 1e300; json.f = json.big\n"
            "json.g = 9223372036854775807LL; json.h = 5ULL; json.i = 2^53; json.j = -2^53; json.k = 1/3\n");
    fixture_commit(&f);
    fixture_run(
        &f, "assert(json.a == 1 and json.b == 0.1 and json.c == 1e15 and 1 / json.d == -math.huge)\n"
            "assert(json.e == 1e300 and json.f == 9007199254740993LL and json.g == 9223372036854775807LL)\n"
            "assert(json.h == 5 and json.i == 2^53 and json.j == -2^53 and json.k == 1/3)\n");
    const char *text = fixture_text(&f);
    assert_true(strstr(text, "\"a\":1,") || strstr(text, "\"a\":1}")); /* new ones come in any order */
    assert_non_null(strstr(text, "1000000000000000"));
    assert_non_null(strstr(text, "1e+300"));
    assert_null(strstr(text, "0.10000000000000001"));
    fixture_stop(&f);
    if (library == MQLUA_TREE_JSONC)
        check("{\"u\":18446744073709551615}", "assert(json.u == 18446744073709551615ULL); json.v = json.u",
              "{\"u\":18446744073709551615,\"v\":18446744073709551615}");
}

/* Values that only the tree can have are left alone as long as nobody writes them. */
static void test_not_finite(void **state)
{
    check("{\"a\":[NaN,1]}", "assert(json.a[1] ~= json.a[1]); json.a[2] = 2", "{\"a\":[NaN,2]}");
}

static void test_strings_with_nul(void **state)
{
    fixture f;
    fixture_start(&f, library, "{\"s\":\"x\\u0000y\"}", NULL, NULL);
    fixture_run(&f,
                "assert(#json.s == 3 or #json.s == 1)\njson.t = 'a\\0b\\255'; json.l = ('z\\0'):rep(100)");
    fixture_commit(&f);
    fixture_run(&f, "assert(json.t == 'a\\0b\\239\\191\\189' and json.l == ('z\\0'):rep(100))");
    fixture_stop(&f);
}

typedef struct bad {
    const char *code, *error;
    bool at_commit;
} bad;

static void test_errors(void **state)
{
    static const bad cases[] = {
        {"json.f = type", "json.f: a function cannot be stored in JSON", false},
        {"json.f = {a = {1, 2, type}}", "json.f.a[3]: a function cannot be stored in JSON", false},
        {"json.f = 0/0", "json.f: NaN cannot", false},
        {"json.f = -1/0", "json.f: infinity cannot", false},
        {"local t = {}; t.t = {t}; json.f = t", "json.f.t[1]: this table contains itself", false},
        {"json.f = {1, x = 2}", "json.f: mixed keys", false},
        {"json.f = {[1] = 1, [100] = 2}", "json.f: too many holes in the array (2 values, highest index 100)",
         false},
        {"json.f = {[0] = 1}", "json.f: a number cannot be a key", false},
        {"json.f = {[1.5] = 1}", "json.f: a number cannot be a key", false},
        {"json.f = {[true] = 1}", "json.f: a boolean cannot be a key", false},
        {"json.f = {['a\\0'] = 1}", "json.f: a key with a NUL byte", false},
        {"json['a\\0'] = 1", "json: a key with a NUL byte", false},
        {"json[1] = 1", "json: keys must be strings, not number", false},
        {"json.f = json", "json.f: this is not a plain table", false},
        {"local a = mq.array{}; a.x = 1; json.f = a", "json.f: this is an array, but", false},
        {"local a = mq.object{}; a[1] = 1; json.f = a", "json.f: this is an object, but", false},
        {"local t = {}; for i = 1, 600 do t = {t} end; json.f = t", "nested deeper than 512 levels", false},
        {"json.f = coroutine.create(type)", "json.f: a thread cannot", false},
        {"json.data.customer.x = type", "json.data.customer.x: a function cannot", true},
        {"json.data.list[3] = 0/0", "json.data.list[3]: NaN cannot", true},
        {"json.data.me = json.data", "json.data.me: this table contains itself", true},
        {"json.data[1] = 1", "json.data: mixed keys", true},
        {"json.tags.x = 1", "json.tags: mixed keys", true},
        {"json.none.x = 1", "json.none: this is an array, but it has keys that are strings", true},
        {"json.pool = 'z'; json.data.q = {type}", "json.data.q[1]: a function cannot", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fixture f;
        fixture_start(&f, library, message, NULL, NULL);
        char *before = strdup(fixture_text(&f));
        char *error = fixture_try(&f, cases[i].code);
        if (cases[i].at_commit) {
            assert_null(error);
            error = fixture_try_commit(&f);
        }
        if (!error || !strstr(error, cases[i].error))
            fail_msg("%s\ngives: %s\ninstead of: %s", cases[i].code, error ? error : "nothing",
                     cases[i].error);
        free(error);
        fixture_commit(&f);
        assert_string_equal(fixture_text(&f), before);
        fixture_run(&f, "assert(json.pool == 'p' and json.f == nil and json.data.q == nil)");
        free(before);
        fixture_stop(&f);
    }
}

static void test_error_names_the_line(void **state)
{
    fixture f;
    fixture_start(&f, library, message, NULL, NULL);
    char *error = fixture_try(&f, "local x\njson.f = type");
    assert_non_null(strstr(error, ":2: json.f: "));
    free(error);
    fixture_stop(&f);
}

static void test_use_after_the_end(void **state)
{
    static const char *const uses[] = {"return json.pool", "json.pool = 1", "for k in pairs(json) do end",
                                       "local t = totable(json)", "for k in step, json do end"};
    fixture f;
    fixture_start(&f, library, message, NULL, NULL);
    fixture_run(&f, "tags = json.tags; totable = json.totable; step = pairs(json); json.pool = 'staged'");
    f.slot.serial++;
    for (size_t i = 0; i < sizeof(uses) / sizeof(*uses); i++) {
        char *error = fixture_try(&f, uses[i]);
        assert_non_null(error);
        assert_non_null(strstr(error, "message is over"));
        free(error);
    }
    char *error = fixture_try_commit(&f);
    assert_non_null(strstr(error, "message is over"));
    free(error);
    fixture_run(&f, "assert(tags[1] == 'one')"); /* what was read is an ordinary table */
    fixture_run(
        &f,
        "assert(not pcall(totable, {})); assert(not pcall(totable, tags)); assert(not pcall(totable, 1))");
    fixture_stop(&f);
}

/* A collection of garbage at any moment, with values staged. */
static void test_garbage(void **state)
{
    fixture f;
    fixture_start(&f, library, message, NULL, NULL);
    fixture_run(&f, "json.a = {1, {2}}; collectgarbage(); collectgarbage(); assert(json.a[2][1] == 2)\n"
                    "json.tags[3] = 'x'; collectgarbage(); assert(json.tags[3] == 'x')");
    fixture_commit(&f);
    fixture_run(&f, "collectgarbage(); assert(json.a[2][1] == 2 and json.tags[3] == 'x')");
    fixture_run(&f, "json.left = {1}"); /* and never committed */
    fixture_stop(&f);
}

static void test_ffi_stays_hidden(void **state)
{
    fixture f;
    fixture_start(&f, library, message, NULL, NULL);
    fixture_run(&f, "local x = 1LL; assert(not pcall(require, 'ffi') and not package.loaded.ffi)");
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_reading_changes_nothing),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_writing),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_strings_with_nul),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_error_names_the_line),
        cmocka_unit_test(test_use_after_the_end),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_ffi_stays_hidden),
    };
    return RUN_WITH_BOTH(tests);
}
