/* SPDX-License-Identifier: MIT */

/* json-c, from 0.12 on: return types of some functions changed over its versions (void to int, int to
 * size_t), so no result is trusted that an older version does not give, and success is seen from the tree. */

#include "json/tree_internal.h"

#include <json-c/json_object.h>
#include <json-c/json_object_iterator.h>
#include <json-c/json_tokener.h>

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* X(name, optional) */
#define SYMBOLS(X)                                                                                           \
    X(json_object_new_object, false)                                                                         \
    X(json_object_get_type, false)                                                                           \
    X(json_object_get_boolean, false)                                                                        \
    X(json_object_get_int64, false)                                                                          \
    X(json_object_get_double, false)                                                                         \
    X(json_object_get_string, false)                                                                         \
    X(json_object_get_string_len, false)                                                                     \
    X(json_object_object_length, false)                                                                      \
    X(json_object_object_get_ex, false)                                                                      \
    X(json_object_object_add_ex, false)                                                                      \
    X(json_object_object_del, false)                                                                         \
    X(json_object_iter_begin, false)                                                                         \
    X(json_object_iter_end, false)                                                                           \
    X(json_object_iter_next, false)                                                                          \
    X(json_object_iter_equal, false)                                                                         \
    X(json_object_iter_peek_name, false)                                                                     \
    X(json_object_iter_peek_value, false)                                                                    \
    X(json_object_array_length, false)                                                                       \
    X(json_object_array_get_idx, false)                                                                      \
    X(json_object_array_put_idx, false)                                                                      \
    X(json_object_array_add, false)                                                                          \
    X(json_object_array_del_idx, true)                                                                       \
    X(json_object_get_uint64, true)                                                                          \
    X(json_object_new_uint64, true)                                                                          \
    X(json_object_new_array, false)                                                                          \
    X(json_object_new_string_len, false)                                                                     \
    X(json_object_new_boolean, false)                                                                        \
    X(json_object_new_int64, false)                                                                          \
    X(json_object_new_double_s, false)                                                                       \
    X(json_object_put, false)                                                                                \
    X(json_object_to_json_string_ext, true)                                                                  \
    X(json_tokener_new_ex, true)                                                                             \
    X(json_tokener_parse_ex, true)                                                                           \
    X(json_tokener_get_error, true)                                                                          \
    X(json_tokener_free, true)

typedef struct table {
    mqlua_tree tree;
#define X(name, optional) __typeof__(name) *name;
    SYMBOLS(X)
#undef X
} table;

static const mqlua_tree_symbol symbols[] = {
#define X(name, optional) {#name, offsetof(table, name), optional},
    SYMBOLS(X)
#undef X
        {NULL, 0, false}};

#define LIB(tree) ((const table *)(tree))

static enum mqlua_tree_type get_type(const mqlua_tree *tree, void *node)
{
    switch (LIB(tree)->json_object_get_type(node)) {
    case json_type_boolean:
        return MQLUA_TREE_BOOLEAN;
    case json_type_int:
        return MQLUA_TREE_INTEGER;
    case json_type_double:
        return MQLUA_TREE_REAL;
    case json_type_string:
        return MQLUA_TREE_STRING;
    case json_type_array:
        return MQLUA_TREE_ARRAY;
    case json_type_object:
        return MQLUA_TREE_OBJECT;
    default:
        return MQLUA_TREE_NULL;
    }
}

static bool get_boolean(const mqlua_tree *tree, void *node)
{
    return LIB(tree)->json_object_get_boolean(node) != 0;
}

static bool get_integer(const mqlua_tree *tree, void *node, int64_t *value)
{
    *value = LIB(tree)->json_object_get_int64(node);
    if (*value != INT64_MAX || !LIB(tree)->json_object_get_uint64)
        return true;
    uint64_t bits = LIB(tree)->json_object_get_uint64(node);
    memcpy(value, &bits, sizeof(bits));
    return bits <= INT64_MAX;
}

static double get_real(const mqlua_tree *tree, void *node)
{
    return LIB(tree)->json_object_get_double(node);
}

static const char *get_string(const mqlua_tree *tree, void *node, size_t *size)
{
    *size = (size_t)LIB(tree)->json_object_get_string_len(node);
    return LIB(tree)->json_object_get_string(node);
}

static size_t object_size(const mqlua_tree *tree, void *object)
{
    return (size_t)LIB(tree)->json_object_object_length(object);
}

static bool object_get(const mqlua_tree *tree, void *object, const char *key, void **value)
{
    struct json_object *found = NULL;
    bool there = LIB(tree)->json_object_object_get_ex(object, key, &found);
    *value = found;
    return there;
}

static bool object_next(const mqlua_tree *tree, void *object, mqlua_tree_iter *iter)
{
    struct json_object_iterator at;
    _Static_assert(sizeof(at) <= sizeof(iter->at), "the iterator must fit");
    if (iter->begun) {
        memcpy(&at, iter->at, sizeof(at));
        LIB(tree)->json_object_iter_next(&at);
    } else {
        at = LIB(tree)->json_object_iter_begin(object);
        iter->begun = true;
    }
    struct json_object_iterator end = LIB(tree)->json_object_iter_end(object);
    if (LIB(tree)->json_object_iter_equal(&at, &end))
        return false;
    memcpy(iter->at, &at, sizeof(at));
    iter->key = LIB(tree)->json_object_iter_peek_name(&at);
    iter->value = LIB(tree)->json_object_iter_peek_value(&at);
    return true;
}

static bool object_add(const mqlua_tree *tree, void *object, const char *key, void *value)
{
    int before = LIB(tree)->json_object_object_length(object);
    LIB(tree)->json_object_object_add_ex(object, key, value, JSON_C_OBJECT_ADD_KEY_IS_NEW);
    return LIB(tree)->json_object_object_length(object) > before;
}

static bool object_set(const mqlua_tree *tree, void *object, const char *key, void *value)
{
    if (!LIB(tree)->json_object_object_get_ex(object, key, NULL))
        return object_add(tree, object, key, value);
    LIB(tree)->json_object_object_add_ex(object, key, value, 0);
    return true;
}

static void object_del(const mqlua_tree *tree, void *object, const char *key)
{
    LIB(tree)->json_object_object_del(object, key);
}

static size_t array_size(const mqlua_tree *tree, void *array)
{
    return (size_t)(int)LIB(tree)->json_object_array_length(array);
}

static void *array_get(const mqlua_tree *tree, void *array, size_t index)
{
    return index > INT_MAX ? NULL : LIB(tree)->json_object_array_get_idx(array, index);
}

static bool array_set(const mqlua_tree *tree, void *array, size_t index, void *value)
{
    return index < INT_MAX && LIB(tree)->json_object_array_put_idx(array, index, value) == 0;
}

static bool array_add(const mqlua_tree *tree, void *array, void *value)
{
    if (array_size(tree, array) >= INT_MAX / 2)
        return false;
    return LIB(tree)->json_object_array_add(array, value) == 0;
}

static void array_cut(const mqlua_tree *tree, void *array, size_t size)
{
    size_t now = array_size(tree, array);
    if (now > size)
        LIB(tree)->json_object_array_del_idx(array, size, now - size);
}

static void *new_object(const mqlua_tree *tree)
{
    return LIB(tree)->json_object_new_object();
}

static void *new_array(const mqlua_tree *tree)
{
    return LIB(tree)->json_object_new_array();
}

static void *new_string(const mqlua_tree *tree, const char *data, size_t size)
{
    return size >= INT_MAX ? NULL : LIB(tree)->json_object_new_string_len(data, (int)size);
}

static void *new_boolean(const mqlua_tree *tree, bool value)
{
    return LIB(tree)->json_object_new_boolean(value);
}

static void *new_integer(const mqlua_tree *tree, int64_t value)
{
    return LIB(tree)->json_object_new_int64(value);
}

static void *new_unsigned(const mqlua_tree *tree, uint64_t value)
{
    if (value <= INT64_MAX)
        return new_integer(tree, (int64_t)value);
    return LIB(tree)->json_object_new_uint64 ? LIB(tree)->json_object_new_uint64(value) : NULL;
}

static void *new_real(const mqlua_tree *tree, double value, const char *text)
{
    return LIB(tree)->json_object_new_double_s(value, text);
}

static void put(const mqlua_tree *tree, void *node)
{
    LIB(tree)->json_object_put(node);
}

static void *parse(const mqlua_tree *tree, const char *text, size_t size, bool *ok)
{
    const table *lib = LIB(tree);
    *ok = false;
    if (size >= INT_MAX || !lib->json_tokener_new_ex || !lib->json_tokener_parse_ex ||
        !lib->json_tokener_get_error || !lib->json_tokener_free)
        return NULL;
    struct json_tokener *tokener = lib->json_tokener_new_ex(1024);
    if (!tokener)
        return NULL;
    void *node = lib->json_tokener_parse_ex(tokener, text, (int)size);
    *ok = lib->json_tokener_get_error(tokener) == json_tokener_success;
    lib->json_tokener_free(tokener);
    return node;
}

static const char *text_of(const mqlua_tree *tree, void *node)
{
    const table *lib = LIB(tree);
    return lib->json_object_to_json_string_ext
               ? lib->json_object_to_json_string_ext(node, JSON_C_TO_STRING_PLAIN)
               : NULL;
}

static const mqlua_tree functions = {
    .library = "json-c",
    .type = get_type,
    .boolean = get_boolean,
    .integer = get_integer,
    .real = get_real,
    .string = get_string,
    .object_size = object_size,
    .object_get = object_get,
    .object_next = object_next,
    .object_set = object_set,
    .object_add = object_add,
    .object_del = object_del,
    .array_size = array_size,
    .array_get = array_get,
    .array_set = array_set,
    .array_add = array_add,
    .array_cut = array_cut,
    .new_object = new_object,
    .new_array = new_array,
    .new_string = new_string,
    .new_boolean = new_boolean,
    .new_integer = new_integer,
    .new_unsigned = new_unsigned,
    .new_real = new_real,
    .put = put,
    .parse = parse,
    .text = text_of,
};

/* Before 0.13 elements cannot be removed. */
static void adapt(void *filled)
{
    table *lib = filled;
    if (!lib->json_object_array_del_idx)
        lib->tree.array_cut = NULL;
}

static const char *const sonames[] = {"libjson-c.so.5", "libjson-c.so.4", "libjson-c.so.3", "libjson-c.so.2",
                                      NULL};

const mqlua_tree_source mqlua_tree_jsonc = {&functions, sizeof(table), sonames, symbols, adapt};
