/* SPDX-License-Identifier: MIT */

/* Memory: whichever request fails, and how much is staged. */

#include "doc_fixture.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host_memory_fails),
        cmocka_unit_test(test_lua_memory_fails),
        cmocka_unit_test(test_caught_lack_of_memory),
        cmocka_unit_test(test_little_is_staged),
    };
    return RUN_WITH_BOTH(tests);
}
