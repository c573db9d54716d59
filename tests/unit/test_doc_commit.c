/* SPDX-License-Identifier: MIT */

/* What becomes of it: staged, committed, discarded. */

#include "doc_fixture.h"

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
          "json.a = 1; assert(not pcall(function() json.a = type end) and json.a == 1)\n"
          "assert(not pcall(function() json.a = {1, type} end) and json.a == 1); json.a = nil; "
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
    check_add("{\"tags\":[\"x\"]}",
              "add('tags', 'a'); json.tags = nil; add('tags', 'b'); local t = json.tags; assert(#t == 1)",
              "{\"tags\":[\"b\"]}");
    check_add("{\"tags\":[\"x\"]}", "add('tags', 'a'); json.tags = 1; json.tags = {'c'}",
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
    static const mqlua_doc_hooks hooks = {.name = "json", .keys = keys, .check = check_any};
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_touched),
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
    };
    return RUN_WITH_BOTH(tests);
}
