/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A JSON tree that belongs to someone else, and the library that made it. Which library it is, is
 * known at run time only; neither is linked. A node is a void pointer; JSON's null is the NULL
 * pointer. Nothing here raises, yields or knows Lua. A tree and its nodes are used by one thread at a time.
 *
 * Reference counts: what new_*, parse make is owned by the caller until object_set, object_add, array_set or
 * array_add take it (only when they succeed), or put gives it back. What the other functions return is
 * borrowed. The root of a message is never taken or given back by us.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mqlua_tree_library { MQLUA_TREE_FASTJSON, MQLUA_TREE_JSONC };

enum mqlua_tree_type {
    MQLUA_TREE_NULL,
    MQLUA_TREE_BOOLEAN,
    MQLUA_TREE_INTEGER,
    MQLUA_TREE_REAL,
    MQLUA_TREE_STRING,
    MQLUA_TREE_ARRAY,
    MQLUA_TREE_OBJECT,
};

/* Zeroed before the first object_next. Changing the object ends the iteration. */
typedef struct mqlua_tree_iter {
    const char *key; /* ends with NUL; lives as long as the member */
    void *value;
    bool begun;
    uintptr_t at[4]; /* the library's own iterator */
} mqlua_tree_iter;

typedef struct mqlua_tree mqlua_tree;
struct mqlua_tree {
    const char *library; /* "libfastjson" or "json-c" */
    bool of_host;        /* the functions are those that the process itself exports */

    enum mqlua_tree_type (*type)(const mqlua_tree *tree, void *node);
    bool (*boolean)(const mqlua_tree *tree, void *node);
    /* False: the number is beyond INT64_MAX, and *value holds the bits of an uint64_t. */
    bool (*integer)(const mqlua_tree *tree, void *node, int64_t *value);
    double (*real)(const mqlua_tree *tree, void *node);
    const char *(*string)(const mqlua_tree *tree, void *node, size_t *size);

    size_t (*object_size)(const mqlua_tree *tree, void *object);
    /* False when there is no such member (a member may be null). */
    bool (*object_get)(const mqlua_tree *tree, void *object, const char *key, void **value);
    bool (*object_next)(const mqlua_tree *tree, void *object, mqlua_tree_iter *iter);
    /* Puts value in the place of what the key holds; cannot fail when the key is there. */
    bool (*object_set)(const mqlua_tree *tree, void *object, const char *key, void *value);
    /* The same for a key that is known not to be there: need not look for it. False: lack of memory. */
    bool (*object_add)(const mqlua_tree *tree, void *object, const char *key, void *value);
    void (*object_del)(const mqlua_tree *tree, void *object, const char *key);

    size_t (*array_size)(const mqlua_tree *tree, void *array);
    void *(*array_get)(const mqlua_tree *tree, void *array, size_t index);
    /* index (from 0) below the size: cannot fail. */
    bool (*array_set)(const mqlua_tree *tree, void *array, size_t index, void *value);
    bool (*array_add)(const mqlua_tree *tree, void *array, void *value);
    /* Removes elements from the end until size are left. NULL where the library cannot do that. */
    void (*array_cut)(const mqlua_tree *tree, void *array, size_t size);

    /* NULL: lack of memory, or (strings) over 2 GB, or (unsigned) the library has no such numbers. */
    void *(*new_object)(const mqlua_tree *tree);
    void *(*new_array)(const mqlua_tree *tree);
    void *(*new_string)(const mqlua_tree *tree, const char *data, size_t size);
    void *(*new_boolean)(const mqlua_tree *tree, bool value);
    void *(*new_integer)(const mqlua_tree *tree, int64_t value);
    void *(*new_unsigned)(const mqlua_tree *tree, uint64_t value);
    /* text is how the number will be written. */
    void *(*new_real)(const mqlua_tree *tree, double value, const char *text);
    void (*put)(const mqlua_tree *tree, void *node); /* NULL is allowed */

    /* For tests. parse: NULL (and *ok false) when the text is not JSON. text: borrowed, until the next
     * change. */
    void *(*parse)(const mqlua_tree *tree, const char *text, size_t size, bool *ok);
    const char *(*text)(const mqlua_tree *tree, void *node);
};

/* The functions of a library: those that the process exports, (an error if it exports only part of
 * them), else those of a copy that is opened here. Never of both. NULL when there is neither; then *error (if
 * not NULL) says why in a malloc'ed string, or is NULL. The table is owned by the caller; the library stays
 * loaded for ever, because nodes of the host may point into it. Any thread. */
const mqlua_tree *mqlua_tree_load(enum mqlua_tree_library library, char **error);

/* Frees the table; NULL is allowed. */
void mqlua_tree_free(const mqlua_tree *tree);
