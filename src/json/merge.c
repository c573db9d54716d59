/* SPDX-License-Identifier: MIT */

#include "json/merge_internal.h"
#include "vm/vm.h"

#include <stdlib.h>
#include <string.h>
#include <lauxlib.h>

/* Members of one object that are replaced or removed one by one. */
enum { SEARCHES = 256 };

static void build(lua_State *L, mqlua_merge *merge, enum mqlua_merge_kind kind, const mqlua_place *at,
                  int index, const mqlua_path *path)
{
    mqlua_merge_step *step = mqlua_merge_add(L, merge, kind, at);
    mqlua_value_build(L, merge->tree, index, path, &step->value);
}

static void replace(lua_State *L, mqlua_merge *merge, const mqlua_place *at, int index,
                    const mqlua_path *path)
{
    build(L, merge, at->key ? MQLUA_MERGE_SET_KEY : MQLUA_MERGE_SET_INDEX, at, index, path);
}

bool mqlua_merge_same_real(lua_State *L, int index, double real)
{
    if (lua_type(L, index) != LUA_TNUMBER)
        return false;
    double number = lua_tonumber(L, index);
    return number == real || (number != number && real != real);
}

bool mqlua_merge_same_scalar(lua_State *L, const mqlua_scalar *a, const mqlua_scalar *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case MQLUA_TREE_NULL:
        return true;
    case MQLUA_TREE_BOOLEAN:
        return a->boolean == b->boolean;
    case MQLUA_TREE_INTEGER:
        return a->integer == b->integer && a->beyond == b->beyond;
    case MQLUA_TREE_STRING:
        if (a->size != b->size)
            return false;
        mqlua_vm_charge(L, a->size / 32);
        return a->size == 0 || memcmp(a->string, b->string, a->size) == 0;
    default:
        return false; /* reals were compared before */
    }
}

static void compare(lua_State *L, mqlua_merge *merge, int index, void *node, const mqlua_place *at,
                    const mqlua_path *path);

static void compare_array(lua_State *L, mqlua_merge *merge, int index, void *array, size_t count,
                          const mqlua_path *path)
{
    const mqlua_tree *tree = merge->tree;
    size_t size = tree->array_size(tree, array);
    mqlua_vm_charge(L, size);
    for (size_t i = 0; i < count; i++) {
        mqlua_place at = {array, NULL, i};
        mqlua_path here = MQLUA_PATH_INDEX(path, i + 1);
        lua_rawgeti(L, index, (int)i + 1);
        if (i < size)
            compare(L, merge, lua_gettop(L), tree->array_get(tree, array, i), &at, &here);
        else
            build(L, merge, MQLUA_MERGE_ADD_INDEX, &at, lua_gettop(L), &here);
        lua_pop(L, 1);
    }
    if (count < size)
        mqlua_merge_add(L, merge, MQLUA_MERGE_CUT, &(mqlua_place){array, NULL, count});
}

/* Members of the table at index that the object does not have. */
static void find_additions(lua_State *L, mqlua_merge *merge, int index, void *object, const mqlua_path *path)
{
    mqlua_tree_iter iter = {.begun = false};
    lua_newtable(L);
    int seen = lua_gettop(L);
    while (merge->tree->object_next(merge->tree, object, &iter)) {
        lua_pushstring(L, iter.key);
        lua_pushboolean(L, 1);
        lua_rawset(L, seen);
    }
    lua_pushnil(L);
    while (lua_next(L, index)) {
        lua_pushvalue(L, -2);
        lua_rawget(L, seen);
        bool there = !lua_isnil(L, -1);
        lua_pop(L, 1);
        if (!there) {
            const char *key = mqlua_value_key(L, -2, path);
            build(L, merge, MQLUA_MERGE_ADD_KEY, &(mqlua_place){object, key, 0}, lua_gettop(L),
                  &MQLUA_PATH_KEY(path, key));
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

/* The object is walked and the Lua table is asked, because asking the library for each key may mean a linear
 * search. */
static void compare_object(lua_State *L, mqlua_merge *merge, int index, void *object, size_t count,
                           const mqlua_path *path)
{
    size_t size = merge->tree->object_size(merge->tree, object), matched = 0;
    mqlua_vm_charge(L, size);
    mqlua_tree_iter iter = {.begun = false};
    while (merge->tree->object_next(merge->tree, object, &iter)) {
        mqlua_place at = {object, iter.key, 0};
        lua_pushstring(L, iter.key);
        lua_rawget(L, index);
        if (lua_isnil(L, -1)) {
            mqlua_merge_add(L, merge, MQLUA_MERGE_DELETE_KEY, &at);
        } else {
            matched++;
            compare(L, merge, lua_gettop(L), iter.value, &at, &MQLUA_PATH_KEY(path, iter.key));
        }
        lua_pop(L, 1);
    }
    if (matched != count || size != count)
        find_additions(L, merge, index, object, path);
}

/* Each of these steps may be a search through all members, and nothing could interrupt them when they are
 * applied: with many of them a new object is made instead. */
static bool is_slow(const mqlua_merge *merge, size_t first, const void *object)
{
    size_t searches = 0;
    for (size_t i = first; i < merge->count; i++) {
        const mqlua_merge_step *step = &mqlua_merge_steps(merge)[i];
        searches += step->container == object &&
                    (step->kind == MQLUA_MERGE_SET_KEY || step->kind == MQLUA_MERGE_DELETE_KEY);
    }
    return searches > SEARCHES;
}

static void compare(lua_State *L, mqlua_merge *merge, int index, void *node, const mqlua_place *at,
                    const mqlua_path *path)
{
    mqlua_scalar old, new;
    bool old_scalar = mqlua_value_scalar_of(merge->tree, node, &old);
    if (old.type == MQLUA_TREE_REAL && mqlua_merge_same_real(L, index, old.real))
        return;
    if (mqlua_value_scalar(L, index, path, &new)) {
        if (!old_scalar || !mqlua_merge_same_scalar(L, &old, &new))
            replace(L, merge, at, index, path);
        return;
    }
    mqlua_path here = *path;
    size_t count, first = merge->count;
    mqlua_amount before = merge->made;
    enum mqlua_tree_type type = mqlua_value_table(L, index, &here, &count);
    bool fixed = type == MQLUA_TREE_ARRAY && !merge->tree->array_cut;
    if (type != old.type || (fixed && count != merge->tree->array_size(merge->tree, node)))
        replace(L, merge, at, index, path);
    else if (type == MQLUA_TREE_ARRAY)
        compare_array(L, merge, index, node, count, &here);
    else
        compare_object(L, merge, index, node, count, &here);
    if (type == MQLUA_TREE_OBJECT && type == old.type && is_slow(merge, first, node)) {
        mqlua_merge_forget(merge, first);
        merge->made = before;
        replace(L, merge, at, index, path);
    }
}

void mqlua_merge_member(lua_State *L, mqlua_merge *merge, void *object, const char *key, int index,
                        const mqlua_path *path)
{
    mqlua_place at = {object, key, 0};
    void *node;
    if (merge->tree->object_get(merge->tree, object, key, &node))
        compare(L, merge, index, node, &at, path);
    else
        build(L, merge, MQLUA_MERGE_ADD_KEY, &at, index, path);
}

void mqlua_merge_remove(lua_State *L, mqlua_merge *merge, void *object, const char *key)
{
    void *node;
    if (merge->tree->object_get(merge->tree, object, key, &node))
        mqlua_merge_add(L, merge, MQLUA_MERGE_DELETE_KEY, &(mqlua_place){object, key, 0});
}
