/* SPDX-License-Identifier: MIT */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json/tree.h"

static const mqlua_tree *tree;

static int load(void **state, enum mqlua_tree_library library)
{
    char *error = NULL;
    tree = mqlua_tree_load(library, &error);
    if (!tree)
        fail_msg("%s", error);
    return 0;
}

static int load_fastjson(void **state)
{
    return load(state, MQLUA_TREE_FASTJSON);
}

static int load_jsonc(void **state)
{
    return load(state, MQLUA_TREE_JSONC);
}

static int unload(void **state)
{
    mqlua_tree_free(tree);
    return 0;
}

static void *parse(const char *text)
{
    bool ok;
    void *root = tree->parse(tree, text, strlen(text), &ok);
    assert_true(ok);
    return root;
}

static void *get(void *object, const char *key)
{
    void *value = NULL;
    assert_true(tree->object_get(tree, object, key, &value));
    return value;
}

static void test_types(void **state)
{
    void *root = parse("{\"n\":null,\"b\":true,\"i\":-5,\"r\":1.50,\"s\":\"text\",\"a\":[1],\"o\":{}}");
    static const struct {
        const char *key;
        enum mqlua_tree_type type;
    } members[] = {{"n", MQLUA_TREE_NULL},  {"b", MQLUA_TREE_BOOLEAN}, {"i", MQLUA_TREE_INTEGER},
                   {"r", MQLUA_TREE_REAL},  {"s", MQLUA_TREE_STRING},  {"a", MQLUA_TREE_ARRAY},
                   {"o", MQLUA_TREE_OBJECT}};
    int64_t integer;
    size_t size;
    for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++)
        assert_int_equal(tree->type(tree, get(root, members[i].key)), members[i].type);
    assert_int_equal(tree->type(tree, root), MQLUA_TREE_OBJECT);
    assert_true(tree->boolean(tree, get(root, "b")));
    assert_true(tree->integer(tree, get(root, "i"), &integer));
    assert_int_equal(integer, -5);
    assert_true(tree->real(tree, get(root, "r")) == 1.5);
    assert_string_equal(tree->string(tree, get(root, "s"), &size), "text");
    assert_int_equal(size, 4);
    assert_int_equal(tree->object_size(tree, root), 7);
    void *none;
    assert_false(tree->object_get(tree, root, "missing", &none));
    tree->put(tree, root);
}

static void test_objects(void **state)
{
    char key[16];
    void *root = tree->new_object(tree);
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        assert_true(tree->object_add(tree, root, key, tree->new_integer(tree, i)));
    }
    for (int i = 0; i < 100; i += 3) {
        snprintf(key, sizeof(key), "k%d", i);
        tree->object_del(tree, root, key);
    }
    assert_true(tree->object_set(tree, root, "k1", tree->new_string(tree, "in place", 8)));
    assert_true(tree->object_set(tree, root, "k1000", NULL));
    assert_int_equal(tree->object_size(tree, root), 67);
    mqlua_tree_iter iter = {.begun = false};
    int seen = 0;
    while (tree->object_next(tree, root, &iter)) {
        int number = atoi(iter.key + 1);
        assert_true(number == 1000 || number % 3 != 0);
        assert_true((iter.value == NULL) == (number == 1000));
        seen++;
    }
    assert_int_equal(seen, 67);
    tree->put(tree, root);

    root = tree->new_object(tree);
    iter = (mqlua_tree_iter){.begun = false};
    assert_false(tree->object_next(tree, root, &iter));
    tree->put(tree, root);
}

static void test_replacing_keeps_the_place(void **state)
{
    void *root = parse("{\"a\":1,\"b\":2.50,\"c\":3}");
    assert_true(tree->object_set(tree, root, "a", tree->new_boolean(tree, true)));
    assert_true(tree->object_set(tree, root, "b", NULL));
    assert_true(tree->object_set(tree, root, "b", tree->new_real(tree, 0.1, "0.1")));
    assert_string_equal(tree->text(tree, root), "{\"a\":true,\"b\":0.1,\"c\":3}");
    tree->put(tree, root);
}

static void test_arrays(void **state)
{
    void *root = tree->new_array(tree);
    for (int i = 0; i < 1000; i++)
        assert_true(tree->array_add(tree, root, i % 10 ? tree->new_integer(tree, i) : NULL));
    assert_int_equal(tree->array_size(tree, root), 1000);
    assert_null(tree->array_get(tree, root, 10));
    assert_null(tree->array_get(tree, root, 5000));
    assert_true(tree->array_set(tree, root, 2, tree->new_string(tree, "two", 3)));
    tree->array_cut(tree, root, 4);
    tree->array_cut(tree, root, 10);
    assert_string_equal(tree->text(tree, root), "[null,1,\"two\",3]");
    tree->array_cut(tree, root, 0);
    assert_int_equal(tree->array_size(tree, root), 0);
    assert_true(tree->array_add(tree, root, tree->new_object(tree)));
    assert_string_equal(tree->text(tree, root), "[{}]");
    tree->put(tree, root);
}

static void test_numbers(void **state)
{
    static const int64_t integers[] = {0, -1, INT64_MAX, INT64_MIN, (int64_t)1 << 53};
    for (size_t i = 0; i < sizeof(integers) / sizeof(*integers); i++) {
        int64_t value;
        void *node = tree->new_integer(tree, integers[i]);
        assert_true(tree->integer(tree, node, &value));
        assert_true(value == integers[i]);
        tree->put(tree, node);
    }
    void *node = tree->new_unsigned(tree, UINT64_MAX);
    assert_true((node != NULL) == (strcmp(tree->library, "json-c") == 0));
    if (node) {
        int64_t value;
        assert_false(tree->integer(tree, node, &value));
        assert_true((uint64_t)value == UINT64_MAX);
        tree->put(tree, node);
    }
    node = tree->new_unsigned(tree, 7);
    assert_int_equal(tree->type(tree, node), MQLUA_TREE_INTEGER);
    tree->put(tree, node);
}

static void test_strings(void **state)
{
    size_t size;
    static const size_t sizes[] = {0, 1, 31, 32, 33, 100000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        char *data = calloc(1, sizes[i] + 1);
        memset(data, 'x', sizes[i]);
        if (sizes[i] > 1)
            data[1] = 0;
        void *node = tree->new_string(tree, data, sizes[i]);
        const char *text = tree->string(tree, node, &size);
        assert_int_equal(size, sizes[i]);
        assert_memory_equal(text, data, size + 1);
        tree->put(tree, node);
        free(data);
    }
    assert_null(tree->new_string(tree, "", (size_t)1 << 31));
}

static void test_parse_errors(void **state)
{
    bool ok;
    assert_null(tree->parse(tree, "{\"a\":", 5, &ok));
    assert_false(ok);
    assert_null(tree->parse(tree, "[1}", 3, &ok));
    assert_false(ok);
    tree->put(tree, NULL);
}

/* Nothing here is linked with either library, so a copy of our own is used. */
static void test_own_copy(void **state)
{
    assert_false(tree->of_host);
    assert_null(dlsym(RTLD_DEFAULT, "fjson_object_new_object"));
}

/* Once the process exports the library, that copy is used. */
static void test_copy_of_the_host(void **state)
{
    char *error = NULL;
    assert_non_null(dlopen("libfastjson.so.4", RTLD_NOW | RTLD_GLOBAL));
    assert_non_null(dlopen("libjson-c.so.5", RTLD_NOW | RTLD_GLOBAL));
    for (int library = MQLUA_TREE_FASTJSON; library <= MQLUA_TREE_JSONC; library++) {
        const mqlua_tree *loaded = mqlua_tree_load(library, &error);
        if (!loaded)
            fail_msg("%s", error);
        assert_true(loaded->of_host);
        void *root = loaded->new_object(loaded);
        assert_true(loaded->object_add(loaded, root, "a", loaded->new_array(loaded)));
        assert_string_equal(loaded->text(loaded, root), "{\"a\":[]}");
        loaded->put(loaded, root);
        mqlua_tree_free(loaded);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_copy), cmocka_unit_test(test_types),
        cmocka_unit_test(test_objects),  cmocka_unit_test(test_replacing_keeps_the_place),
        cmocka_unit_test(test_arrays),   cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_strings),  cmocka_unit_test(test_parse_errors),
    };
    const struct CMUnitTest last[] = {cmocka_unit_test(test_copy_of_the_host)};
    int failed = cmocka_run_group_tests_name("libfastjson", tests, load_fastjson, unload);
    failed += cmocka_run_group_tests_name("json-c", tests, load_jsonc, unload);
    return failed + cmocka_run_group_tests_name("of the host", last, NULL, NULL);
}
