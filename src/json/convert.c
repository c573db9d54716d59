/* SPDX-License-Identifier: MIT */

/* Whole values: from a tree to Lua, from Lua to Lua, from Lua to a tree. */

#include "base/number.h"
#include "base/utf8.h"
#include "json/value.h"
#include "vm/vm.h"
#include "vm/stack.h"

#include <stdlib.h>
#include <string.h>
#include <lauxlib.h>

/* ---- tree to Lua ---- */

static void push_array(lua_State *L, const mqlua_tree *tree, void *node, const mqlua_path *path)
{
    size_t size = tree->array_size(tree, node);
    lua_createtable(L, (int)size, 0);
    for (size_t i = 0; i < size; i++) {
        mqlua_value_push(L, tree, tree->array_get(tree, node, i), &MQLUA_PATH_INDEX(path, i + 1));
        lua_rawseti(L, -2, (int)i + 1);
    }
    mqlua_value_mark(L, MQLUA_TREE_ARRAY);
}

/* Of members with the same key the first one counts, as when the library is asked for that key. */
static void push_object(lua_State *L, const mqlua_tree *tree, void *node, const mqlua_path *path)
{
    lua_createtable(L, 0, (int)tree->object_size(tree, node));
    mqlua_tree_iter iter = {.begun = false};
    while (tree->object_next(tree, node, &iter)) {
        lua_pushstring(L, iter.key);
        lua_pushvalue(L, -1);
        lua_rawget(L, -3);
        bool first = lua_isnil(L, -1);
        lua_pop(L, 1);
        if (first) {
            mqlua_value_push(L, tree, iter.value, &MQLUA_PATH_KEY(path, iter.key));
            lua_rawset(L, -3);
        } else {
            lua_pop(L, 1);
        }
    }
    if (!tree->object_size(tree, node))
        mqlua_value_mark(L, MQLUA_TREE_OBJECT);
}

void mqlua_value_push(lua_State *L, const mqlua_tree *tree, void *node, const mqlua_path *path)
{
    mqlua_scalar scalar;
    mqlua_vm_charge(L, 4);
    if (mqlua_value_scalar_of(tree, node, &scalar)) {
        mqlua_value_push_scalar(L, &scalar);
        return;
    }
    mqlua_stack_check(L);
    if (path->depth >= MQLUA_VALUE_DEPTH)
        mqlua_path_raise(L, path, "nested deeper than %d levels", MQLUA_VALUE_DEPTH);
    luaL_checkstack(L, 16, "too deep");
    if (scalar.type == MQLUA_TREE_ARRAY)
        push_array(L, tree, node, path);
    else
        push_object(L, tree, node, path);
}

/* ---- Lua to Lua ---- */

static void copy(lua_State *L, int index, const mqlua_path *path, bool any_number);

static void copy_array(lua_State *L, int index, const mqlua_path *path, size_t count, bool any_number)
{
    lua_createtable(L, (int)count, 0);
    for (size_t i = 1; i <= count; i++) {
        lua_rawgeti(L, index, (int)i);
        copy(L, lua_gettop(L), &MQLUA_PATH_INDEX(path, i), any_number);
        lua_rawseti(L, -3, (int)i);
        lua_pop(L, 1);
    }
    mqlua_value_mark(L, MQLUA_TREE_ARRAY);
}

static void copy_object(lua_State *L, int index, const mqlua_path *path, size_t count, bool any_number)
{
    lua_createtable(L, 0, (int)count);
    int target = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, index)) {
        const char *key = mqlua_value_key(L, -2, path);
        copy(L, lua_gettop(L), &MQLUA_PATH_KEY(path, key), any_number);
        lua_pushvalue(L, -3);
        lua_insert(L, -2);
        lua_rawset(L, target);
        lua_pop(L, 1);
    }
    if (!count)
        mqlua_value_mark(L, MQLUA_TREE_OBJECT);
}

static void copy(lua_State *L, int index, const mqlua_path *path, bool any_number)
{
    mqlua_scalar scalar;
    mqlua_path_count(L, path, 0); /* texts stay the ones they are */
    if (any_number && lua_type(L, index) == LUA_TNUMBER) {
        lua_pushvalue(L, index);
    } else if (!mqlua_value_scalar(L, index, path, &scalar)) {
        mqlua_path here = *path;
        size_t count;
        if (mqlua_value_table(L, index, &here, &count) == MQLUA_TREE_ARRAY)
            copy_array(L, index, &here, count, any_number);
        else
            copy_object(L, index, &here, count, any_number);
    } else if (lua_isuserdata(L, index) || lua_isnil(L, index)) {
        mqlua_value_push_scalar(L, &scalar); /* null, or a buffer that becomes a string */
    } else {
        lua_pushvalue(L, index);
    }
}

void mqlua_value_copy(lua_State *L, int index, const mqlua_path *path)
{
    copy(L, index, path, false);
}

void mqlua_value_copy_out(lua_State *L, int index, const mqlua_path *path)
{
    copy(L, index, path, true);
}

/* ---- Lua to tree ---- */

/* Where a new node goes: exactly one of the three. */
typedef struct place {
    void **owner;
    void *array;
    void *object;
    const char *key; /* in object */
} place;

/* Bytes that are no UTF-8 become U+FFFD: whoever reads the JSON would refuse all of it. NULL without memory.
 */
static void *new_string(const mqlua_tree *tree, const char *text, size_t size)
{
    if (mqlua_utf8_is(text, size))
        return tree->new_string(tree, text, size);
    size_t clean_size = mqlua_utf8_clean(NULL, text, size);
    char *clean = malloc(clean_size);
    if (!clean)
        return NULL;
    mqlua_utf8_clean(clean, text, size);
    void *node = tree->new_string(tree, clean, clean_size);
    free(clean);
    return node;
}

static void *new_scalar(const mqlua_tree *tree, const mqlua_scalar *scalar)
{
    char text[32];
    switch (scalar->type) {
    case MQLUA_TREE_BOOLEAN:
        return tree->new_boolean(tree, scalar->boolean);
    case MQLUA_TREE_INTEGER:
        return scalar->beyond ? tree->new_unsigned(tree, (uint64_t)scalar->integer)
                              : tree->new_integer(tree, scalar->integer);
    case MQLUA_TREE_REAL:
        mqlua_number_format(scalar->real, text);
        return tree->new_real(tree, scalar->real, text);
    case MQLUA_TREE_STRING:
        return new_string(tree, scalar->string, scalar->size);
    default:
        return NULL;
    }
}

/* A node belongs to something before anything can raise. */
static void attach(lua_State *L, const mqlua_tree *tree, const place *at, void *node, const mqlua_path *path)
{
    bool done = true;
    if (at->owner)
        *at->owner = node;
    else if (at->array)
        done = tree->array_add(tree, at->array, node);
    else
        done = tree->object_add(tree, at->object, at->key, node);
    if (!done) {
        tree->put(tree, node);
        mqlua_path_raise(L, path, "not enough memory for the message's JSON");
    }
}

static void build(lua_State *L, const mqlua_tree *tree, int index, const mqlua_path *path, const place *at);

static void build_array(lua_State *L, const mqlua_tree *tree, int index, const mqlua_path *path, void *node,
                        size_t count)
{
    for (size_t i = 1; i <= count; i++) {
        lua_rawgeti(L, index, (int)i);
        build(L, tree, lua_gettop(L), &MQLUA_PATH_INDEX(path, i), &(place){.array = node});
        lua_pop(L, 1);
    }
}

static void build_object(lua_State *L, const mqlua_tree *tree, int index, const mqlua_path *path, void *node)
{
    lua_pushnil(L);
    while (lua_next(L, index)) {
        const char *key = mqlua_value_key(L, -2, path);
        build(L, tree, lua_gettop(L), &MQLUA_PATH_KEY(path, key), &(place){.object = node, .key = key});
        lua_pop(L, 1);
    }
}

static void build(lua_State *L, const mqlua_tree *tree, int index, const mqlua_path *path, const place *at)
{
    mqlua_scalar scalar;
    bool is_scalar = mqlua_value_scalar(L, index, path, &scalar);
    mqlua_path_count(L, path, scalar.size + (path->key ? strlen(path->key) : 0));
    if (is_scalar) {
        void *node = new_scalar(tree, &scalar);
        if (!node && scalar.beyond)
            mqlua_path_raise(L, path, "integers beyond 2^63 are not known to %s", tree->library);
        if (!node && scalar.type != MQLUA_TREE_NULL)
            mqlua_path_raise(L, path, "not enough memory for the message's JSON");
        attach(L, tree, at, node, path);
        return;
    }
    mqlua_path here = *path;
    size_t count;
    enum mqlua_tree_type type = mqlua_value_table(L, index, &here, &count);
    void *node = type == MQLUA_TREE_ARRAY ? tree->new_array(tree) : tree->new_object(tree);
    if (!node)
        mqlua_path_raise(L, path, "not enough memory for the message's JSON");
    attach(L, tree, at, node, path);
    if (type == MQLUA_TREE_ARRAY)
        build_array(L, tree, index, &here, node, count);
    else
        build_object(L, tree, index, &here, node);
}

void mqlua_value_build(lua_State *L, const mqlua_tree *tree, int index, const mqlua_path *path, void **owner)
{
    build(L, tree, index, path, &(place){.owner = owner});
}
