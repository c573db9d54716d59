/* SPDX-License-Identifier: MIT */

/* libfastjson. Members of an object are a list: get and set look at one after the other. */

#include "json/tree_internal.h"

#define FJSON_NATIVE_API_ONLY
#include <libfastjson/json_object.h>
#include <libfastjson/json_object_iterator.h>
#include <libfastjson/json_tokener.h>

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* X(name, optional) */
#define SYMBOLS(X)                                                                                           \
    X(fjson_object_new_object, false)                                                                        \
    X(fjson_object_get_type, false)                                                                          \
    X(fjson_object_get_boolean, false)                                                                       \
    X(fjson_object_get_int64, false)                                                                         \
    X(fjson_object_get_double, false)                                                                        \
    X(fjson_object_get_string, false)                                                                        \
    X(fjson_object_get_string_len, false)                                                                    \
    X(fjson_object_object_length, false)                                                                     \
    X(fjson_object_object_get_ex, false)                                                                     \
    X(fjson_object_object_add_ex, false)                                                                     \
    X(fjson_object_object_del, false)                                                                        \
    X(fjson_object_iter_begin, false)                                                                        \
    X(fjson_object_iter_end, false)                                                                          \
    X(fjson_object_iter_next, false)                                                                         \
    X(fjson_object_iter_equal, false)                                                                        \
    X(fjson_object_iter_peek_name, false)                                                                    \
    X(fjson_object_iter_peek_value, false)                                                                   \
    X(fjson_object_get_array, false)                                                                         \
    X(fjson_object_array_length, false)                                                                      \
    X(fjson_object_array_get_idx, false)                                                                     \
    X(fjson_object_array_put_idx, false)                                                                     \
    X(fjson_object_array_add, false)                                                                         \
    X(fjson_object_array_del_idx, false)                                                                     \
    X(fjson_object_new_array, false)                                                                         \
    X(fjson_object_new_string_len, false)                                                                    \
    X(fjson_object_new_boolean, false)                                                                       \
    X(fjson_object_new_int64, false)                                                                         \
    X(fjson_object_new_double_s, false)                                                                      \
    X(fjson_object_put, false)                                                                               \
    X(fjson_object_to_json_string_ext, true)                                                                 \
    X(fjson_tokener_new_ex, true)                                                                            \
    X(fjson_tokener_parse_ex, true)                                                                          \
    X(fjson_tokener_get_error, true)                                                                         \
    X(fjson_tokener_free, true)

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
    switch (LIB(tree)->fjson_object_get_type(node)) {
    case fjson_type_boolean:
        return MQLUA_TREE_BOOLEAN;
    case fjson_type_int:
        return MQLUA_TREE_INTEGER;
    case fjson_type_double:
        return MQLUA_TREE_REAL;
    case fjson_type_string:
        return MQLUA_TREE_STRING;
    case fjson_type_array:
        return MQLUA_TREE_ARRAY;
    case fjson_type_object:
        return MQLUA_TREE_OBJECT;
    default:
        return MQLUA_TREE_NULL;
    }
}

static bool get_boolean(const mqlua_tree *tree, void *node)
{
    return LIB(tree)->fjson_object_get_boolean(node) != 0;
}

static bool get_integer(const mqlua_tree *tree, void *node, int64_t *value)
{
    *value = LIB(tree)->fjson_object_get_int64(node);
    return true;
}

static double get_real(const mqlua_tree *tree, void *node)
{
    return LIB(tree)->fjson_object_get_double(node);
}

static const char *get_string(const mqlua_tree *tree, void *node, size_t *size)
{
    *size = (size_t)LIB(tree)->fjson_object_get_string_len(node);
    return LIB(tree)->fjson_object_get_string(node);
}

static size_t object_size(const mqlua_tree *tree, void *object)
{
    return (size_t)LIB(tree)->fjson_object_object_length(object);
}

static bool object_get(const mqlua_tree *tree, void *object, const char *key, void **value)
{
    struct fjson_object *found = NULL;
    bool there = LIB(tree)->fjson_object_object_get_ex(object, key, &found);
    *value = found;
    return there;
}

static bool object_next(const mqlua_tree *tree, void *object, mqlua_tree_iter *iter)
{
    struct fjson_object_iterator at;
    _Static_assert(sizeof(at) <= sizeof(iter->at), "the iterator must fit");
    if (iter->begun) {
        memcpy(&at, iter->at, sizeof(at));
        LIB(tree)->fjson_object_iter_next(&at);
    } else {
        at = LIB(tree)->fjson_object_iter_begin(object);
        iter->begun = true;
    }
    struct fjson_object_iterator end = LIB(tree)->fjson_object_iter_end(object);
    if (LIB(tree)->fjson_object_iter_equal(&at, &end))
        return false;
    memcpy(iter->at, &at, sizeof(at));
    iter->key = LIB(tree)->fjson_object_iter_peek_name(&at);
    iter->value = LIB(tree)->fjson_object_iter_peek_value(&at);
    return true;
}

/* The library does not look whether its copy of the key could be allocated, and a member without a key would
 * break the object for good. So a block of that size is taken and given back first: the allocator then has
 * one at hand. */
static bool object_add(const mqlua_tree *tree, void *object, const char *key, void *value)
{
    void *room = malloc(strlen(key) + 1);
    if (!room)
        return false;
    __asm__ volatile("" : : "r"(room) : "memory"); /* so that the compiler does not leave the pair out */
    free(room);
    int before = LIB(tree)->fjson_object_object_length(object);
    LIB(tree)->fjson_object_object_add_ex(object, key, value, FJSON_OBJECT_ADD_KEY_IS_NEW);
    return LIB(tree)->fjson_object_object_length(object) > before;
}

static bool object_set(const mqlua_tree *tree, void *object, const char *key, void *value)
{
    if (!LIB(tree)->fjson_object_object_get_ex(object, key, NULL))
        return object_add(tree, object, key, value);
    LIB(tree)->fjson_object_object_add_ex(object, key, value, 0);
    return true;
}

static void object_del(const mqlua_tree *tree, void *object, const char *key)
{
    LIB(tree)->fjson_object_object_del(object, key);
}

static size_t array_size(const mqlua_tree *tree, void *array)
{
    return (size_t)LIB(tree)->fjson_object_array_length(array);
}

static void *array_get(const mqlua_tree *tree, void *array, size_t index)
{
    return index > INT_MAX ? NULL : LIB(tree)->fjson_object_array_get_idx(array, (int)index);
}

static bool array_set(const mqlua_tree *tree, void *array, size_t index, void *value)
{
    return index < INT_MAX && LIB(tree)->fjson_object_array_put_idx(array, (int)index, value) == 0;
}

static bool array_add(const mqlua_tree *tree, void *array, void *value)
{
    /* The library doubles an int. */
    if (LIB(tree)->fjson_object_array_length(array) >= INT_MAX / 2)
        return false;
    return LIB(tree)->fjson_object_array_add(array, value) == 0;
}

static void array_cut(const mqlua_tree *tree, void *array, size_t size)
{
    for (size_t left = array_size(tree, array); left > size; left--)
        LIB(tree)->fjson_object_array_del_idx(array, (int)(left - 1));
}

static void *new_object(const mqlua_tree *tree)
{
    return LIB(tree)->fjson_object_new_object();
}

/* An array whose list could not be allocated cannot be freed with the library either: it is given up. */
static void *new_array(const mqlua_tree *tree)
{
    struct fjson_object *array = LIB(tree)->fjson_object_new_array();
    return array && LIB(tree)->fjson_object_get_array(array) ? array : NULL;
}

static void *new_string(const mqlua_tree *tree, const char *data, size_t size)
{
    return size >= INT_MAX ? NULL : LIB(tree)->fjson_object_new_string_len(data, (int)size);
}

static void *new_boolean(const mqlua_tree *tree, bool value)
{
    return LIB(tree)->fjson_object_new_boolean(value);
}

static void *new_integer(const mqlua_tree *tree, int64_t value)
{
    return LIB(tree)->fjson_object_new_int64(value);
}

static void *new_unsigned(const mqlua_tree *tree, uint64_t value)
{
    return value <= INT64_MAX ? new_integer(tree, (int64_t)value) : NULL;
}

static void *new_real(const mqlua_tree *tree, double value, const char *text)
{
    return LIB(tree)->fjson_object_new_double_s(value, text);
}

static void put(const mqlua_tree *tree, void *node)
{
    LIB(tree)->fjson_object_put(node);
}

static void *parse(const mqlua_tree *tree, const char *text, size_t size, bool *ok)
{
    const table *lib = LIB(tree);
    *ok = false;
    if (size >= INT_MAX || !lib->fjson_tokener_new_ex || !lib->fjson_tokener_parse_ex ||
        !lib->fjson_tokener_get_error || !lib->fjson_tokener_free)
        return NULL;
    struct fjson_tokener *tokener = lib->fjson_tokener_new_ex(1024);
    if (!tokener)
        return NULL;
    void *node = lib->fjson_tokener_parse_ex(tokener, text, (int)size);
    *ok = lib->fjson_tokener_get_error(tokener) == fjson_tokener_success;
    lib->fjson_tokener_free(tokener);
    return node;
}

static const char *text_of(const mqlua_tree *tree, void *node)
{
    const table *lib = LIB(tree);
    return lib->fjson_object_to_json_string_ext
               ? lib->fjson_object_to_json_string_ext(node, FJSON_TO_STRING_PLAIN)
               : NULL;
}

static const mqlua_tree functions = {
    .library = "libfastjson",
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

static const char *const sonames[] = {"libfastjson.so.4", NULL};

const mqlua_tree_source mqlua_tree_fastjson = {&functions, sizeof(table), sonames, symbols, NULL};
