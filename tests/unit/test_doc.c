/* SPDX-License-Identifier: MIT */

#include "json_fixture.h"

static enum mqlua_tree_library library;

static int use_fastjson(void **state)
{
    library = MQLUA_TREE_FASTJSON;
    return 0;
}

static int use_jsonc(void **state)
{
    library = MQLUA_TREE_JSONC;
    return 0;
}

static const char message[] =
    "{\"envelope\":\"a@example.com\",\"recipient\":\"b@example.com\",\"tags\":[\"one\",\"two\"],"
    "\"data\":{\"customer\":{\"id\":12345678901234567,\"vip\":true,\"rate\":1.50},\"list\":[1,2.25,null,"
    "\"x\",[]]},"
    "\"queues\":{\"results\":null},\"priority\":3,\"empty\":{},\"none\":[],\"pool\":\"p\",\"\":\"nameless\","
    "\"message-id\":\"m1\",\"real\":0.10}";

/* Starts with text (message if NULL), runs code, commits, and compares with what is expected (NULL:
 * unchanged). */
static void check(const char *text, const char *code, const char *expected)
{
    fixture f;
    fixture_start(&f, library, text ? text : message, NULL, NULL);
    char *before = strdup(fixture_text(&f));
    fixture_run(&f, code);
    assert_string_equal(fixture_text(&f), before); /* nothing before the commit */
    fixture_commit(&f);
    assert_string_equal(fixture_text(&f), expected ? expected : before);
    free(before);
    fixture_stop(&f);
}

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
    fixture_run(&f, "assert(json.t == 'a\\0b\\255' and json.l == ('z\\0'):rep(100))");
    fixture_stop(&f);
}

typedef struct bad {
    const char *code, *error;
    bool at_commit;
} bad;

static void test_errors(void **state)
{
    static const bad cases[] = {
        {"json.f = print", "json.f: a function cannot be stored in JSON", false},
        {"json.f = {a = {1, 2, print}}", "json.f.a[3]: a function cannot be stored in JSON", false},
        {"json.f = {['x-y'] = {io.stdout}}", "json.f[\"x-y\"][1]: a userdata cannot be stored", false},
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
        {"json.f = coroutine.create(print)", "json.f: a thread cannot", false},
        {"json.data.customer.x = print", "json.data.customer.x: a function cannot", true},
        {"json.data.list[3] = 0/0", "json.data.list[3]: NaN cannot", true},
        {"json.data.me = json.data", "json.data.me: this table contains itself", true},
        {"json.data[1] = 1", "json.data: mixed keys", true},
        {"json.tags.x = 1", "json.tags: mixed keys", true},
        {"json.none.x = 1", "json.none: this is an array, but it has keys that are strings", true},
        {"json.pool = 'z'; json.data.q = {print}", "json.data.q[1]: a function cannot", true},
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
    char *error = fixture_try(&f, "local x\njson.f = print");
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

/* ---- several handlers ---- */

static void test_several_commits(void **state)
{
    fixture f;
    fixture_start(&f, library, "{\"tags\":[\"a\"],\"n\":1}", NULL, NULL);
    fixture_run(&f, "keep = json.tags; table.insert(json.tags, 'b'); json.n = 2; json.d = {x = 1}");
    fixture_commit(&f);
    assert_string_equal(fixture_text(&f), "{\"tags\":[\"a\",\"b\"],\"n\":2,\"d\":{\"x\":1}}");
    fixture_run(&f, "assert(json.tags == keep and #json.tags == 2 and json.n == 2)\n"
                    "table.insert(keep, 'c'); json.d.x = nil; json.n = nil");
    fixture_commit(&f);
    assert_string_equal(fixture_text(&f), "{\"tags\":[\"a\",\"b\",\"c\"],\"d\":{}}");
    fixture_run(&f, "table.insert(json.tags, 'dropped'); json.n = 5; json.d = nil");
    mqlua_doc_discard(mqlua_vm_state(f.vm), &f.doc);
    fixture_run(&f, "assert(#json.tags == 3 and json.n == nil and json.d)");
    fixture_commit(&f);
    assert_string_equal(fixture_text(&f), "{\"tags\":[\"a\",\"b\",\"c\"],\"d\":{}}");
    fixture_stop(&f);
}

/* What looks at a table runs nothing of the script: that could change the document in the middle of it. */
static void test_metatables_stay_silent(void **state)
{
    static const char loud[] =
        "local function change() json.pool = 'x'; for i = 1, 9 do json['k' .. i] = {i} end end\n"
        "function loud(t) return setmetatable(t, setmetatable({}, {__index = change})) end\n";
    char code[1000];
    snprintf(code, sizeof code, "%sjson.new = loud{a = loud{b = {1}}}", loud);
    check("{\"pool\":\"p\"}", code, "{\"pool\":\"p\",\"new\":{\"a\":{\"b\":[1]}}}");
    snprintf(code, sizeof code, "%sjson.data.a = {loud{b = {1}}, loud{}}", loud);
    check("{\"pool\":\"p\",\"data\":{}}", code, "{\"pool\":\"p\",\"data\":{\"a\":[{\"b\":[1]},{}]}}");
}

/* What is assigned is seen at once, however it is staged. */
static void test_staged(void **state)
{
    check("{\"n\":1,\"o\":{\"x\":1.50}}",
          "json.a = 1; assert(not pcall(function() json.a = print end) and json.a == 1)\n"
          "assert(not pcall(function() json.a = {1, print} end) and json.a == 1); json.a = nil; "
          "assert(json.a == nil)\n"
          "json.t = {x = {1}}; json.t.x[2] = 2; assert(json.t.x[2] == 2 and json.t == json.t)\n"
          "json.n = nil; assert(json.n == nil); json.n = mq.null; assert(json.n == mq.null)\n"
          "json.o = 5; assert(json.o == 5); json.o = {x = 1.5}; assert(json.o.x == 1.5)\n"
          "local keys = {}; for k in pairs(json) do keys[#keys + 1] = k end; assert(#keys == 3)\n"
          "local all = json:totable(); assert(all.t.x[2] == 2 and all.n == mq.null and all.a == nil)",
          "{\"n\":null,\"o\":{\"x\":1.50},\"t\":{\"x\":[1,2]}}");
    check("{}",
          "for i = 1, 100 do json['k' .. i] = i; json['k' .. i] = i + 1 end\n"
          "for i = 1, 100 do assert(json['k' .. i] == i + 1) end\n"
          "for i = 1, 100 do json['k' .. i] = nil; assert(json['k' .. i] == nil) end\n"
          "json.k100 = {}",
          "{\"k100\":{}}");
    check("{}", "json['a key of more than twenty-four bytes'] = true",
          "{\"a key of more than twenty-four bytes\":true}");
}

/* add(key, ...) of a script. */
static int l_add(lua_State *L)
{
    fixture *f = lua_touserdata(L, lua_upvalueindex(1));
    mqlua_doc_add_strings(L, &f->doc, lua_tostring(L, 1), 2, lua_gettop(L));
    return 0;
}

static int open_add(lua_State *L)
{
    lua_pushvalue(L, 1);
    lua_pushcclosure(L, l_add, 1);
    lua_setglobal(L, "add");
    return 0;
}

static void check_add(const char *text, const char *code, const char *expected)
{
    fixture f;
    fixture_start(&f, library, text, NULL, NULL);
    assert_int_equal(mqlua_vm_setup(f.vm, open_add, &f, NULL), 0);
    char *before = strdup(fixture_text(&f));
    fixture_run(&f, code);
    mqlua_doc_discard(mqlua_vm_state(f.vm), &f.doc);
    fixture_commit(&f);
    assert_string_equal(fixture_text(&f), before);
    fixture_run(&f, code);
    assert_string_equal(fixture_text(&f), before);
    fixture_commit(&f);
    assert_string_equal(fixture_text(&f), expected);
    free(before);
    fixture_stop(&f);
}

static void test_adding_strings(void **state)
{
    check_add("{}", "add('tags', 'a', 'b', 'a'); add('tags', 'b', 'c')", "{\"tags\":[\"a\",\"b\",\"c\"]}");
    check_add("{}", "add('tags'); assert(json.tags == nil)", "{}");
    check_add("{\"tags\":null}", "add('tags', 'a')", "{\"tags\":[\"a\"]}");
    check_add("{\"tags\":[\"a\",1]}", "add('tags', 'a', 'b'); add('tags', 'b', '1')",
              "{\"tags\":[\"a\",1,\"b\",\"1\"]}");
    check_add("{\"tags\":[\"a\"]}",
              "add('tags', 'b'); assert(#json.tags == 2); add('tags', 'c', 'b'); json.tags[1] = 'A'",
              "{\"tags\":[\"A\",\"b\",\"c\"]}");
    check_add("{\"tags\":[\"a\"]}",
              "add('tags', 'b'); assert(json:totable().tags[2] == 'b')\n"
              "for k, v in pairs(json) do assert(k == 'tags' and v[2] == 'b' and not v[3]) end",
              "{\"tags\":[\"a\",\"b\"]}");
    check_add("{\"tags\":[\"a\"]}", "add('tags', 'b'); json.tags = {'x'}", "{\"tags\":[\"x\"]}");
    check_add("{\"tags\":[\"a\"]}", "add('tags', 'b'); json.tags = nil; add('tags', 'c')",
              "{\"tags\":[\"c\"]}");
    check_add("{\"tags\":[\"a\"]}", "add('tags', 'b'); json.tags = 'x'", "{\"tags\":\"x\"}");
    check_add("{}",
              "json.tags = {'x'}; add('tags', 'y'); assert(json.tags[2] == 'y'); json.tags[3] = 'z'; "
              "add('tags', 'z')",
              "{\"tags\":[\"x\",\"y\",\"z\"]}");
    check_add("{\"tags\":{\"x\":1},\"n\":1}",
              "assert(not pcall(add, 'n', 'a')); json.n = 2; assert(not pcall(add, 'n', 'a'))",
              "{\"tags\":{\"x\":1},\"n\":2}");
    check_add(
        "{}",
        "for i = 1, 50 do json['k' .. i] = i end; json.tags = {'a'}; json.tags = nil; add('tags', 'b')\n"
        "assert(json.tags[1] == 'b'); json.tags = mq.null; add('tags', 'c')\n"
        "for i = 1, 50 do json['k' .. i] = nil end",
        "{\"tags\":[\"c\"]}");
}

typedef struct crowd {
    fixture *f;
    mqlua_doc docs[700]; /* more than a state has places for */
} crowd;

static int push_crowd(lua_State *L)
{
    crowd *c = lua_touserdata(L, 1);
    for (int i = 0; i < 700; i++) {
        mqlua_doc_begin(&c->docs[i], c->f->tree, c->f->root, &c->f->slot, &plain_hooks, NULL);
        mqlua_doc_push(L, &c->docs[i]);
        assert_ptr_equal(mqlua_doc_test(L, -1), &c->docs[i]);
        char name[16];
        snprintf(name, sizeof name, "doc%d", i);
        lua_setglobal(L, name);
    }
    return 0;
}

static int find_crowd(lua_State *L)
{
    crowd *c = lua_touserdata(L, 1);
    for (int i = 0; i < 700; i++) {
        lua_getglobal(L, lua_pushfstring(L, "doc%d", i));
        assert_ptr_equal(mqlua_doc_test(L, -1), c->docs[i].slot ? &c->docs[i] : NULL);
        lua_pop(L, 2);
    }
    return 0;
}

static void test_many_documents(void **state)
{
    fixture f;
    fixture_start(&f, library, message, NULL, NULL);
    crowd *c = calloc(1, sizeof *c);
    c->f = &f;
    assert_int_equal(mqlua_vm_setup(f.vm, push_crowd, c, NULL), 0);
    for (int part = 0; part < 7; part++) {
        for (int i = part; i < 700; i += 7)
            mqlua_doc_end(mqlua_vm_state(f.vm), &c->docs[i]);
        assert_int_equal(mqlua_vm_setup(f.vm, find_crowd, c, NULL), 0);
    }
    fixture_run(&f, "local ok, why = pcall(function() return doc3.pool end)\n"
                    "assert(not ok and why:find('message is over'))");
    free(c);
    fixture_stop(&f);
}

static int prepare_and_discard(lua_State *L)
{
    fixture *f = lua_touserdata(L, 1);
    f->changed = mqlua_doc_prepare(L, &f->doc);
    mqlua_doc_discard(L, &f->doc);
    return 0;
}

static void test_discard_takes_additions_back(void **state)
{
    fixture f;
    fixture_start(&f, library, message, NULL, NULL);
    char *before = strdup(fixture_text(&f));
    fixture_run(&f,
                "for i = 1, 20 do json['k' .. i] = {i}; json.tags[2 + i] = i; json.data['n' .. i] = i end\n"
                "json.pool = nil; json.priority = 5; json.data.list[2] = {1}; json.none = {1}");
    assert_int_equal(mqlua_vm_call(f.vm, prepare_and_discard, &f, NULL), 0);
    assert_true(f.changed);
    assert_string_equal(fixture_text(&f), before);
    fixture_commit(&f);
    assert_string_equal(fixture_text(&f), before);
    fixture_run(&f, "json.k1 = 1; json.k2 = 2; for i = 1, 20 do json['m' .. i] = i end");
    fixture_commit(&f);
    fixture_run(
        &f,
        "assert(json.k1 == 1 and json.k2 == 2 and json.k3 == nil and json.m20 == 20 and json.pool == 'p')");
    free(before);
    fixture_stop(&f);
}

/* What is not changed keeps its node; of a changed container only the changed places get another. */
static void test_identity(void **state)
{
    fixture f;
    void *data, *customer, *list, *tags, *now;
    fixture_start(&f, library, message, NULL, NULL);
    f.tree->object_get(f.tree, f.root, "data", &data);
    f.tree->object_get(f.tree, data, "customer", &customer);
    f.tree->object_get(f.tree, data, "list", &list);
    f.tree->object_get(f.tree, f.root, "tags", &tags);
    void *first = f.tree->array_get(f.tree, tags, 0);
    fixture_run(&f, "json.data.customer.vip = false; json.tags[2] = 'zwei'; json.tags[3] = 'drei'");
    fixture_commit(&f);
    assert_true(f.tree->object_get(f.tree, f.root, "data", &now) && now == data);
    assert_true(f.tree->object_get(f.tree, data, "customer", &now) && now == customer);
    assert_true(f.tree->object_get(f.tree, data, "list", &now) && now == list);
    assert_true(f.tree->object_get(f.tree, f.root, "tags", &now) && now == tags);
    assert_ptr_equal(f.tree->array_get(f.tree, tags, 0), first);
    assert_int_equal(f.tree->array_size(f.tree, tags), 3);
    fixture_stop(&f);
}

/* What a commit has nothing to look at for costs nothing; nested tables count from one read to the next
 * commit. */
static void test_touched(void **state)
{
    fixture f;
    fixture_start(&f, library, message, NULL, NULL);
    fixture_run(&f, "local read = json.pool, json.recipient");
    assert_false(mqlua_doc_is_touched(&f.doc));
    fixture_run(&f, "kept = json.tags; kept[1] = 'first'");
    assert_true(mqlua_doc_is_touched(&f.doc));
    fixture_commit(&f);
    assert_false(mqlua_doc_is_touched(&f.doc));
    fixture_run(&f, "json.pool = 'other'; kept[1] = 'unseen'");
    assert_true(mqlua_doc_is_touched(&f.doc));
    fixture_commit(&f);
    assert_non_null(strstr(fixture_text(&f), "\"first\""));
    assert_non_null(strstr(fixture_text(&f), "\"other\""));
    fixture_run(&f, "assert(json.tags == kept); kept[1] = 'seen'");
    fixture_commit(&f);
    assert_non_null(strstr(fixture_text(&f), "\"seen\""));
    fixture_stop(&f);
}

/* An old json-c cannot shorten arrays: then they are replaced. */
static void test_without_cut(void **state)
{
    fixture f;
    fixture_start(&f, library, "{\"a\":[1,2.50,3],\"b\":[[1],[2]]}", NULL, NULL);
    f.tree->array_cut = NULL;
    fixture_run(&f, "table.remove(json.a); json.b[1][2] = 5; json.b[2][1] = 7");
    fixture_commit(&f);
    assert_string_equal(fixture_text(&f), "{\"a\":[1,2.5],\"b\":[[1,5],[7]]}");
    fixture_stop(&f);
}

static void test_large_and_deep(void **state)
{
    fixture f;
    fixture_start(&f, library, "{}", NULL, NULL);
    fixture_run(&f, "local t = {}; for i = 1, 100000 do t[i] = i end; json.a = t\n"
                    "local o = {}; for i = 1, 20000 do o['k' .. i] = i end; json.o = o\n"
                    "local d = {}; for i = 1, 510 do d = {d} end; json.d = d\n");
    fixture_commit(&f);
    mqlua_doc_discard(mqlua_vm_state(f.vm), &f.doc);
    fixture_run(&f, "assert(#json.a == 100000 and json.a[99999] == 99999 and json.o.k20000 == 20000)\n"
                    "local d, n = json.d, 0; while d[1] do d = d[1]; n = n + 1 end; assert(n == 510)\n"
                    "json.a[50000] = 'x'; json.o.k777 = nil; json.o.new = true; for i = 100000, 10, -1 do "
                    "json.a[i] = nil end");
    fixture_commit(&f);
    mqlua_doc_discard(mqlua_vm_state(f.vm), &f.doc);
    fixture_run(&f,
                "assert(#json.a == 9 and json.o.k777 == nil and json.o.k778 == 778 and json.o.new == true)");
    fixture_stop(&f);

    char text[2000] = "{\"pool\":\"p\",\"d\":";
    memset(text + strlen(text), '[', 600);
    memset(text + strlen(text), ']', 600);
    strcat(text, "}");
    fixture_start(&f, library, text, NULL, NULL);
    char *error = fixture_try(&f, "assert(json.pool == 'p'); return json.d");
    assert_non_null(strstr(error, "nested deeper than 512 levels"));
    assert_true(strlen(error) < 400);
    free(error);
    fixture_stop(&f);
}

/* An object of which very many members change is made anew. */
static void test_many_changes_in_one_object(void **state)
{
    fixture f;
    fixture_start(&f, library, "{\"data\":{\"o\":{},\"keep\":1.50}}", NULL, NULL);
    fixture_run(&f, "for i = 1, 20000 do json.data.o['k' .. i] = i end");
    fixture_commit(&f);
    fixture_run(
        &f,
        "for i = 1, 20000 do json.data.o['k' .. i] = i % 2 == 0 and {i} or nil end; json.data.o.more = 1");
    fixture_commit(&f);
    mqlua_doc_discard(mqlua_vm_state(f.vm), &f.doc);
    fixture_run(&f,
                "local n = 0; for k, v in pairs(json.data.o) do n = n + 1 end; assert(n == 10001)\n"
                "assert(json.data.o.k20000[1] == 20000 and json.data.o.k1 == nil and json.data.keep == 1.5)\n"
                "for k in pairs(json.data.o) do json.data.o[k] = nil end");
    fixture_commit(&f);
    assert_string_equal(fixture_text(&f), "{\"data\":{\"o\":{},\"keep\":1.50}}");
    fixture_stop(&f);
}

/* The libraries keep duplicates only when told that a key is new; the first one is what they find. */
static void test_duplicate_keys(void **state)
{
    fixture f;
    fixture_start(&f, library, "{\"o\":{\"k\":1,\"l\":2},\"k\":1}", NULL, NULL);
    void *o;
    f.tree->object_get(f.tree, f.root, "o", &o);
    assert_true(f.tree->object_add(f.tree, o, "k", f.tree->new_integer(f.tree, 3)));
    assert_true(f.tree->object_add(f.tree, f.root, "k", f.tree->new_integer(f.tree, 3)));
    fixture_run(&f, "local n = 0; for k in pairs(json) do n = n + 1 end; assert(n == 2)\n"
                    "first = json.o.k; assert(first == 1 or first == 3); json.o.l = 5");
    fixture_commit(&f);
    mqlua_doc_discard(mqlua_vm_state(f.vm), &f.doc);
    fixture_run(&f, "assert(json.o.k == first and json.o.l == 5)");
    fixture_stop(&f);
}

/* ---- hooks ---- */

typedef struct hooked {
    int got, applied, checked;
    char last[64];
} hooked;

static void get_mime(lua_State *L, void *ud)
{
    ((hooked *)ud)->got++;
    lua_pushliteral(L, "the mime");
}

static void get_nothing(lua_State *L, void *ud)
{
    lua_pushnil(L);
}

static void apply_any(lua_State *L, void *ud, int index)
{
    hooked *h = ud;
    h->applied++;
    snprintf(h->last, sizeof(h->last), "%s", lua_isnil(L, index) ? "(deleted)" : lua_tostring(L, index));
}

static void check_any(lua_State *L, void *ud, const char *key, int index)
{
    ((hooked *)ud)->checked++;
    if (strcmp(key, "forbidden") == 0)
        luaL_error(L, "%s is forbidden", key);
    if (strcmp(key, "upper") == 0) {
        lua_pushliteral(L, "UPPER");
        lua_replace(L, index);
    }
}

static void test_hooks(void **state)
{
    static const mqlua_doc_key keys[] = {{"mime", get_mime, apply_any},
                                         {"envelope", NULL, apply_any},
                                         {"absent", get_nothing, NULL},
                                         {NULL, NULL, NULL}};
    static const mqlua_doc_hooks hooks = {"json", keys, check_any};
    hooked h = {0};
    fixture f;
    fixture_start(&f, library, "{\"envelope\":\"e\",\"mime\":\"in the tree\",\"absent\":1}", &hooks, &h);
    fixture_run(&f, "assert(json.mime == 'the mime' and json.envelope == 'e' and json.absent == nil)\n"
                    "assert(json:totable().mime == 'the mime')\n"
                    "json.mime = 'new'; assert(json.mime == 'new')\n"
                    "json.envelope = nil; assert(json.envelope == nil)\n"
                    "json.upper = 'x'; assert(json.upper == 'UPPER')\n"
                    "assert(not pcall(function() json.forbidden = 1 end))");
    assert_int_equal(h.applied, 0);
    fixture_commit(&f);
    assert_int_equal(h.applied, 2);
    assert_int_equal(h.checked, 4);
    assert_string_equal(h.last, "(deleted)");
    assert_string_equal(fixture_text(&f),
                        "{\"envelope\":\"e\",\"mime\":\"in the tree\",\"absent\":1,\"upper\":\"UPPER\"}");
    fixture_run(&f, "assert(json.mime == 'the mime' and json.envelope == 'e')");
    fixture_commit(&f);
    assert_int_equal(h.applied, 2);
    fixture_stop(&f);
}

/* ---- failing memory ---- */

static long calls, fail_at;
static mqlua_tree original;

static bool fails(void)
{
    return ++calls == fail_at;
}

static void *fail_object(const mqlua_tree *tree)
{
    return fails() ? NULL : original.new_object(tree);
}

static void *fail_array(const mqlua_tree *tree)
{
    return fails() ? NULL : original.new_array(tree);
}

static void *fail_string(const mqlua_tree *tree, const char *data, size_t size)
{
    return fails() ? NULL : original.new_string(tree, data, size);
}

static void *fail_integer(const mqlua_tree *tree, int64_t value)
{
    return fails() ? NULL : original.new_integer(tree, value);
}

static void *fail_boolean(const mqlua_tree *tree, bool value)
{
    return fails() ? NULL : original.new_boolean(tree, value);
}

static void *fail_real(const mqlua_tree *tree, double value, const char *text)
{
    return fails() ? NULL : original.new_real(tree, value, text);
}

static bool fail_object_add(const mqlua_tree *tree, void *object, const char *key, void *value)
{
    return !fails() && original.object_add(tree, object, key, value);
}

static bool fail_array_add(const mqlua_tree *tree, void *array, void *value)
{
    return !fails() && original.array_add(tree, array, value);
}

static void failing_tree(fixture *f)
{
    original = *f->tree;
    f->tree->new_object = fail_object;
    f->tree->new_array = fail_array;
    f->tree->new_string = fail_string;
    f->tree->new_integer = fail_integer;
    f->tree->new_boolean = fail_boolean;
    f->tree->new_real = fail_real;
    f->tree->object_add = fail_object_add;
    f->tree->array_add = fail_array_add;
}

static const char many_changes[] =
    "json.pool = nil; json.priority = 4; json.new = {a = {1, 2.5, 'x'}, b = mq.array{}, c = true}\n"
    "table.insert(json.tags, 'three'); json.tags[5] = {}; json.data.customer.vip = {false}\n"
    "json.data.list[4] = nil; json.data.list[5] = nil; json.data.added = {k = {l = 'm'}}; json.none[1] = 1";

static void test_host_memory_fails(void **state)
{
    long n = 0;
    for (bool failed = true; failed; n++) {
        fixture f;
        fixture_start(&f, library, message, NULL, NULL);
        failing_tree(&f);
        char *before = strdup(fixture_text(&f));
        calls = 0;
        fail_at = n + 1;
        char *error = fixture_try(&f, many_changes);
        if (error)
            mqlua_doc_discard(mqlua_vm_state(f.vm), &f.doc);
        else
            error = fixture_try_commit(&f);
        failed = calls >= fail_at;
        assert_true(failed == (error != NULL));
        if (failed) {
            assert_non_null(strstr(error, "not enough memory"));
            assert_string_equal(fixture_text(&f), before);
        } else {
            assert_string_not_equal(fixture_text(&f), before);
        }
        free(error);
        free(before);
        fixture_stop(&f);
    }
    assert_true(n > 20);
}

static lua_Alloc lua_original;

static void *lua_failing(void *ud, void *pointer, size_t old, size_t new)
{
    if (new > old && fail_at &&fails())
        return NULL;
    return lua_original(ud, pointer, old, new);
}

static int write_and_commit(lua_State *L)
{
    fixture *f = lua_touserdata(L, 1);
    lua_getglobal(L, "change");
    calls = 0;
    fail_at = f->slot.serial == 0 ? fail_at : 0;
    lua_call(L, 0, 0);
    if (mqlua_doc_prepare(L, &f->doc)) {
        fail_at = 0;
        mqlua_doc_apply(L, &f->doc);
    }
    fail_at = 0;
    return 0;
}

static void test_lua_memory_fails(void **state)
{
    long n = 0;
    for (bool failed = true; failed; n++) {
        fixture f;
        char code[1024];
        fixture_start(&f, library, message, NULL, NULL);
        snprintf(code, sizeof(code), "function change() %s end", many_changes);
        fixture_run(&f, code);
        char *before = strdup(fixture_text(&f));
        void *ud;
        lua_original = lua_getallocf(mqlua_vm_state(f.vm), &ud);
        lua_setallocf(mqlua_vm_state(f.vm), lua_failing, ud);
        fail_at = n + 1;
        failed = mqlua_vm_call(f.vm, write_and_commit, &f, NULL) != 0;
        fail_at = 0;
        if (failed) {
            mqlua_doc_discard(mqlua_vm_state(f.vm), &f.doc);
            assert_string_equal(fixture_text(&f), before);
        } else {
            assert_string_not_equal(fixture_text(&f), before);
        }
        free(before);
        fixture_stop(&f);
    }
    assert_true(n > 10);
}

/* What a script does that catches the lack of memory and tries again, or makes do with one change alone. */
static const char stubborn[] =
    "local changes = {\n"
    "function() json.data = {x = 1} end, function() json.new = {a = {1, 2}} end,\n"
    "function() json.new.a[3] = 'three' end, function() json.none = mq.null end,\n"
    "function() add('tags', 'b') end, function() add('tags', 'c', 'd') end,\n"
    "function() json.tags[1] = 'A' end, function() add('tags', 'e') end,\n"
    "function() add('other', 'x', 'y') end, function() for i = 1, 40 do json['k' .. i] = i end end,\n"
    "function() for i = 1, 40 do json['k' .. i] = nil end end, function() json.pool = nil end}\n"
    "function change()\n"
    "  if only then pcall(changes[only]) return end\n"
    "  for i = 1, #changes do if not pcall(changes[i]) then changes[i]() end end\n"
    "end";

static int change_and_commit(lua_State *L)
{
    fixture *f = lua_touserdata(L, 1);
    lua_getglobal(L, "change");
    calls = 0;
    lua_call(L, 0, 0);
    f->changed = calls >= fail_at;
    calls = -1000000;
    if (mqlua_doc_prepare(L, &f->doc))
        mqlua_doc_apply(L, &f->doc);
    return 0;
}

static void start_stubborn(fixture *f, int only)
{
    char set[32] = "";
    fixture_start(f, library, "{\"tags\":[\"a\"],\"data\":[],\"none\":1,\"pool\":\"p\"}", NULL, NULL);
    assert_int_equal(mqlua_vm_setup(f->vm, open_add, f, NULL), 0);
    if (only)
        snprintf(set, sizeof set, "only = %d", only);
    fixture_run(f, set);
    fixture_run(f, stubborn);
    calls = -1000000;
}

/* Lets the n-th allocation fail; false: there were not so many. */
static bool stop_stubborn(fixture *f, int only, long n)
{
    char *error = NULL;
    fail_at = n;
    if (mqlua_vm_call(f->vm, change_and_commit, f, &error))
        fail_msg("at %ld: %s", n, error);
    fail_at = 0;
    if (!only)
        fixture_run(f, "assert(json.data.x == 1 and json.new.a[3] == 'three' and json.none == mq.null)\n"
                       "assert(table.concat(json.tags) == 'Abcde' and table.concat(json.other) == 'xy')\n"
                       "for k in pairs(json) do assert(not k:find('^k%d')) end\n"
                       "assert(json.pool == nil)");
    fixture_stop(f);
    return f->changed;
}

static bool fail_in_lua(int only, long n)
{
    fixture f;
    void *ud;
    start_stubborn(&f, only);
    lua_original = lua_getallocf(mqlua_vm_state(f.vm), &ud);
    lua_setallocf(mqlua_vm_state(f.vm), lua_failing, ud);
    return stop_stubborn(&f, only, n);
}

static bool fail_in_tree(int only, long n)
{
    fixture f;
    start_stubborn(&f, only);
    failing_tree(&f);
    return stop_stubborn(&f, only, n);
}

static void test_caught_lack_of_memory(void **state)
{
    for (int only = 0; only <= 12; only++) {
        for (long n = 1; fail_in_lua(only, n); n++)
            ;
        for (long n = 1; fail_in_tree(only, n); n++)
            ;
    }
}

static size_t made; /* bytes of the host's library, about */

static void *count_string(const mqlua_tree *tree, const char *data, size_t size)
{
    made += size;
    return original.new_string(tree, data, size);
}

static void *count_integer(const mqlua_tree *tree, int64_t value)
{
    made += 32;
    return original.new_integer(tree, value);
}

/* What is staged in the host's memory, which no cap counts, is little, whatever a script assigns. */
static void check_little(const char *code)
{
    fixture f;
    fixture_start(&f, library, "{\"tags\":[\"a\"],\"n\":null}", NULL, NULL);
    assert_int_equal(mqlua_vm_setup(f.vm, open_add, &f, NULL), 0);
    original = *f.tree;
    f.tree->new_string = count_string;
    f.tree->new_integer = count_integer;
    made = 0;
    fixture_run(&f, code);
    assert_in_range(made, 0, 140000);
    fixture_commit(&f);
    fixture_run(&f, "assert(json.tags[1] == 'a'); if check then check() end");
    fixture_stop(&f);
}

static void test_little_is_staged(void **state)
{
    check_little("for i = 1, 100 do json['k' .. i] = ('x'):rep(5000) .. i end\n"
                 "check = function() assert(#json.k1 == 5001 and #json.k100 == 5003) end");
    check_little("for i = 1, 100 do json['k' .. i] = {x = {{('x'):rep(5000)}}} end\n"
                 "check = function() assert(#json.k100.x[1][1] == 5000) end");
    check_little("for i = 1, 100 do json['k' .. i] = {[('x'):rep(5000)] = i} end");
    check_little("local t = {}; for i = 1, 1000 do t[i] = i end; for i = 1, 100 do json['k' .. i] = t end\n"
                 "check = function() assert(json.k100[1000] == 1000) end");
    check_little("for i = 1, 100 do add('tags', ('x'):rep(5000) .. i) end\n"
                 "check = function() assert(#json.tags == 101) end");
    check_little("for i = 1, 9000 do add('tags', 'a tag ' .. i) end\n"
                 "check = function() assert(#json.tags == 9001) end");
    check_little("for i = 1, 9000 do add('other', 'a tag ' .. i) end\n"
                 "check = function() assert(#json.other == 9000) end");
    check_little(
        "json.n = 5; json.n = nil; add('n', ('x'):rep(5000)); add('n', 'y'); add('m', ('x'):rep(5000))\n"
        "check = function() assert(json.n[2] == 'y' and #json.n == 2 and #json.m[1] == 5000) end");
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
        cmocka_unit_test(test_touched),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_writing),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_strings_with_nul),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_error_names_the_line),
        cmocka_unit_test(test_use_after_the_end),
        cmocka_unit_test(test_metatables_stay_silent),
        cmocka_unit_test(test_staged),
        cmocka_unit_test(test_adding_strings),
        cmocka_unit_test(test_many_documents),
        cmocka_unit_test(test_several_commits),
        cmocka_unit_test(test_discard_takes_additions_back),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_without_cut),
        cmocka_unit_test(test_large_and_deep),
        cmocka_unit_test(test_many_changes_in_one_object),
        cmocka_unit_test(test_duplicate_keys),
        cmocka_unit_test(test_hooks),
        cmocka_unit_test(test_host_memory_fails),
        cmocka_unit_test(test_lua_memory_fails),
        cmocka_unit_test(test_caught_lack_of_memory),
        cmocka_unit_test(test_little_is_staged),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_ffi_stays_hidden),
    };
    int failed = cmocka_run_group_tests_name("libfastjson", tests, use_fastjson, NULL);
    return failed + cmocka_run_group_tests_name("json-c", tests, use_jsonc, NULL);
}
