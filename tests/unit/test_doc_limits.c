/* SPDX-License-Identifier: MIT */

/* What one value of a script may become: a graph in Lua is a tree in JSON. Nothing is written when it is too
 * much. */

#include "doc_fixture.h"

enum { VALUES = 1000, BYTES = 64 * 1024 };

static mqlua_tree original;
static size_t made, made_bytes;

static void *count_string(const mqlua_tree *tree, const char *data, size_t size)
{
    made++;
    made_bytes += size;
    return original.new_string(tree, data, size);
}

static void *count_array(const mqlua_tree *tree)
{
    made++;
    return original.new_array(tree);
}

static void *count_object(const mqlua_tree *tree)
{
    made++;
    return original.new_object(tree);
}

static void *count_integer(const mqlua_tree *tree, int64_t value)
{
    made++;
    return original.new_integer(tree, value);
}

static void start(fixture *f, int values, size_t bytes, double budget)
{
    mqlua_vm_limits limits = {.memory = 64 << 20, .values = values, .bytes = bytes, .budget = budget};
    fixture_start(f, library, message, NULL, NULL);
    f->slot.serial++;
    mqlua_doc_end(mqlua_vm_state(f->vm), &f->doc);
    mqlua_vm_free(f->vm);
    f->vm = mqlua_vm_new(&limits);
    assert_non_null(f->vm);
    assert_int_equal(mqlua_vm_setup(f->vm, fixture_open_json, NULL, NULL), 0);
    mqlua_doc_begin(&f->doc, f->tree, f->root, &f->slot, f->hooks, f->ud);
    assert_int_equal(mqlua_vm_setup(f->vm, fixture_push_doc, f, NULL), 0);
    original = *f->tree;
    f->tree->new_string = count_string;
    f->tree->new_array = count_array;
    f->tree->new_object = count_object;
    f->tree->new_integer = count_integer;
    made = made_bytes = 0;
}

/* Code, or the commit behind it, is refused with that; the tree stays as it was, and little was made. */
static void refuses(const char *code, const char *expected)
{
    fixture f;
    start(&f, VALUES, BYTES, 0);
    char *before = strdup(fixture_text(&f));
    char *error = fixture_try(&f, code);
    if (error)
        mqlua_doc_discard(mqlua_vm_state(f.vm), &f.doc);
    else
        error = fixture_try_commit(&f);
    if (!error)
        fail_msg("not refused: %s", code);
    if (!strstr(error, expected))
        fail_msg("%s\nin: %s", error, code);
    free(error);
    assert_string_equal(fixture_text(&f), before);
    assert_in_range(made, 0, VALUES);
    assert_in_range(made_bytes, 0, BYTES);
    fixture_run(&f, "json.after = 1"); /* and it goes on */
    fixture_commit(&f);
    assert_non_null(strstr(fixture_text(&f), "\"after\":1"));
    free(before);
    fixture_stop(&f);
}

static void passes(const char *code)
{
    fixture f;
    start(&f, VALUES, BYTES, 0);
    fixture_run(&f, code);
    fixture_commit(&f);
    fixture_stop(&f);
}

#define VALUES_TEXT "more than 1000 values at once"
#define BYTES_TEXT  "more than 64 KB of text at once"
#define DOUBLED     "local t = {1}; for i = 1, 40 do t = {t, t} end; "
#define LONG        "local s = ('x'):rep(30000); "

static void test_many_values(void **state)
{
    refuses(DOUBLED "json.data.x = t", VALUES_TEXT);
    refuses(DOUBLED "json.x = t", VALUES_TEXT);
    refuses(DOUBLED "json.tags = t", VALUES_TEXT);
    refuses(DOUBLED "table.insert(json.tags, t)", VALUES_TEXT);
    refuses(DOUBLED "json.data.list[1] = t", VALUES_TEXT);
    refuses(DOUBLED "json.data.x = t; json:totable()", VALUES_TEXT);
    refuses(DOUBLED "mq.json.encode(t)", VALUES_TEXT);
    refuses(DOUBLED "mq.json.encode({a = t}, {sort_keys = true, pretty = true})", VALUES_TEXT);
    refuses("local l = {}; for i = 1, 100 do l[i] = 's' .. i end\n"
            "for i = 1, 10 do json.data['k' .. i] = l end",
            VALUES_TEXT);
    refuses("local l = {}; for i = 1, 100 do l[i] = i end; for i = 1, 10 do json['k' .. i] = l end",
            VALUES_TEXT);
    refuses("local o = mq.object(); for i = 1, 1001 do json.data.list[i] = o end", VALUES_TEXT);
}

static void test_many_bytes(void **state)
{
    refuses(LONG "for i = 1, 3 do json['k' .. i] = s end", BYTES_TEXT);
    refuses(LONG "for i = 1, 3 do json.data['k' .. i] = s end", BYTES_TEXT);
    refuses(LONG "json.data.list = {s, s, s}", BYTES_TEXT);
    refuses(LONG "json.data.list = {{[s] = 1}, {[s] = 1}, {[s] = 1}}", BYTES_TEXT);
    refuses(LONG "json.x = {a = s, b = s, c = s}", BYTES_TEXT);
    refuses(LONG "mq.json.encode({s, s, s})", BYTES_TEXT);
    refuses(LONG "mq.json.encode({{[s] = 1}, {[s] = 1}, {[s] = 1}})", BYTES_TEXT);
}

/* What is taken back does not count, nor what stays as it is. */
static void test_what_does_not_count(void **state)
{
    passes(LONG "for i = 1, 100 do json.k = s .. i end");
    passes(LONG "for i = 1, 100 do json['k' .. i] = s .. i; json['k' .. i] = nil end");
    passes("for i = 1, 2000 do json.x = {i} end");
    passes("for i = 1, 2000 do local t = json:totable() end");
    passes("local l = {}; for i = 1, 900 do l[i] = i end; json.x = l");

    fixture f;
    void *list;
    start(&f, VALUES, BYTES, 0);
    for (int i = 0; i < 3; i++) { /* each commit counts anew, and 800 values that are there are no new ones */
        fixture_run(&f, "local l = json.data.list; for i = 1, 800 do l[#l + 1] = i end");
        fixture_commit(&f);
    }
    assert_true(f.tree->object_get(f.tree, f.root, "data", &list));
    assert_true(f.tree->object_get(f.tree, list, "list", &list));
    assert_int_equal(f.tree->array_size(f.tree, list), 2405);
    fixture_stop(&f);
}

/* Comparing makes nothing, and yet it is work: that of a handler. */
static void test_comparing_has_a_budget(void **state)
{
    fixture f;
    start(&f, 0, 0, 0);
    fixture_run(&f, "local l = {}; for i = 1, 20000 do l[i] = mq.object() end; json.list = l");
    fixture_commit(&f);
    fixture_run(&f, "local o = {}; for i = 1, 5000 do o[i .. ''] = i end\n"
                    "local l = json.list; for i = 1, 20000 do l[i] = o end");
    mqlua_vm_set_budget(f.vm, 0.02);
    char *before = strdup(fixture_text(&f)), *error = fixture_try_commit(&f);
    assert_non_null(error);
    assert_non_null(strstr(error, "budget"));
    assert_string_equal(fixture_text(&f), before);
    free(before);
    free(error);
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_values),
        cmocka_unit_test(test_many_bytes),
        cmocka_unit_test(test_what_does_not_count),
        cmocka_unit_test(test_comparing_has_a_budget),
    };
    return RUN_WITH_BOTH(tests);
}
