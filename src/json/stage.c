/* SPDX-License-Identifier: MIT */

/* Steps for one member that are made as a script assigns: what is there to say is said by the value alone. */

#include "json/merge_internal.h"
#include "vm/vm.h"

#include <string.h>
#include <lauxlib.h>

/* Steps, or elements of an array, and what one of them may take: bytes, about. */
enum { STEPS_MAX = 32, STEP_SIZE = 4096, NODE_SIZE = 32 };

/* Takes what the value at index needs from left. */
static bool fits(lua_State *L, int index, size_t *left)
{
    size_t size = NODE_SIZE + (lua_type(L, index) == LUA_TSTRING ? lua_objlen(L, index) : 0);
    if (size > *left || lua_type(L, index) == LUA_TUSERDATA)
        return false;
    *left -= size;
    if (!lua_istable(L, index))
        return true;
    luaL_checkstack(L, 4, "too deep");
    lua_pushnil(L);
    while (lua_next(L, index)) {
        int value = lua_gettop(L);
        if (!fits(L, value - 1, left) || !fits(L, value, left)) {
            lua_settop(L, value - 2);
            return false;
        }
        lua_pop(L, 1);
    }
    return true;
}

bool mqlua_merge_takes(lua_State *L, const mqlua_merge *merge, int index)
{
    size_t left = STEP_SIZE;
    return merge->count < STEPS_MAX && fits(L, index, &left);
}

/* The member is, or will be, there with this very value. */
static bool is_there(lua_State *L, void *node, const mqlua_merge *merge, int index, const mqlua_path *path)
{
    mqlua_scalar old, new;
    bool scalars = mqlua_value_scalar_of(merge->tree, node, &old) && mqlua_value_scalar(L, index, path, &new);
    return scalars && ((old.type == MQLUA_TREE_REAL && mqlua_merge_same_real(L, index, old.real)) ||
                       mqlua_merge_same_scalar(L, &old, &new));
}

static bool is_added(const mqlua_merge_step *step, const void *array)
{
    return step->kind == MQLUA_MERGE_ADD_INDEX && step->container == array;
}

/* Puts what is in draft into a step, a new one where step is NULL. */
static void take_draft(lua_State *L, mqlua_merge *merge, mqlua_merge_step *step, enum mqlua_merge_kind kind,
                       const mqlua_place *at)
{
    if (!step)
        step = mqlua_merge_add(L, merge, kind, at);
    step->kind = kind;
    step->value = merge->draft;
    merge->draft = NULL;
}

void mqlua_merge_stage(lua_State *L, mqlua_merge *merge, void *object, const char *key, int index,
                       const mqlua_path *path)
{
    void *node = NULL;
    bool there = merge->tree->object_get(merge->tree, object, key, &node), gone = lua_isnil(L, index);
    mqlua_merge_step *step = mqlua_merge_find(merge, object, key);
    if (gone ? !there : there && is_there(L, node, merge, index, path)) {
        if (step)
            mqlua_merge_drop(merge, step);
        return;
    }
    mqlua_merge_drop_draft(merge);
    if (!gone)
        mqlua_value_build(L, merge->tree, index, path, &merge->draft);
    if (step && step->value)
        merge->tree->put(merge->tree, step->value);
    take_draft(L, merge, step,
               gone    ? MQLUA_MERGE_DELETE_KEY
               : there ? MQLUA_MERGE_SET_KEY
                       : MQLUA_MERGE_ADD_KEY,
               &(mqlua_place){object, key, 0});
    if (there) /* an array that is replaced or removed as a whole: nothing is added to it */
        mqlua_merge_drop_added(merge, node);
}

static bool is_text(const mqlua_tree *tree, void *node, const char *text, size_t size)
{
    size_t node_size;
    if (tree->type(tree, node) != MQLUA_TREE_STRING)
        return false;
    const char *string = tree->string(tree, node, &node_size);
    return node_size == size && memcmp(string, text, size) == 0;
}

static bool array_has(lua_State *L, const mqlua_tree *tree, void *array, const char *text, size_t size)
{
    size_t count = tree->array_size(tree, array);
    mqlua_vm_charge(L, count);
    for (size_t i = 0; i < count; i++)
        if (is_text(tree, tree->array_get(tree, array, i), text, size))
            return true;
    return false;
}

static void *check_made(lua_State *L, void *node)
{
    if (!node)
        luaL_error(L, "not enough memory for the message's JSON");
    return node;
}

/* To an array of the tree: an element in a step of its own. */
static void add_element(lua_State *L, mqlua_merge *merge, void *array, const char *text, size_t size)
{
    const mqlua_tree *tree = merge->tree;
    size_t added = 0;
    mqlua_vm_charge(L, merge->count);
    for (size_t i = 0; i < merge->count; i++) {
        if (!is_added(&mqlua_merge_steps(merge)[i], array))
            continue;
        added++;
        if (is_text(tree, mqlua_merge_steps(merge)[i].value, text, size))
            return;
    }
    if (array_has(L, tree, array, text, size))
        return;
    merge->draft = check_made(L, tree->new_string(tree, text, size));
    take_draft(L, merge, NULL, MQLUA_MERGE_ADD_INDEX,
               &(mqlua_place){array, NULL, tree->array_size(tree, array) + added});
}

/* To an array that is not in the tree yet. */
static void add_to_staged(lua_State *L, const mqlua_tree *tree, void *array, const char *text, size_t size)
{
    if (array_has(L, tree, array, text, size))
        return;
    void *node = check_made(L, tree->new_string(tree, text, size));
    if (tree->array_add(tree, array, node))
        return;
    tree->put(tree, node);
    check_made(L, NULL);
}

bool mqlua_merge_append(lua_State *L, mqlua_merge *merge, void *object, const char *key, int index)
{
    if (!mqlua_merge_takes(L, merge, index))
        return false;
    size_t size;
    const char *text = lua_tolstring(L, index, &size);
    const mqlua_tree *tree = merge->tree;
    mqlua_merge_step *step = mqlua_merge_find(merge, object, key);
    void *node = NULL, *of_tree = NULL;
    bool there = tree->object_get(tree, object, key, &of_tree);
    node = step ? step->value : of_tree;
    mqlua_merge_drop_draft(merge);
    if (!node) {
        merge->draft = check_made(L, tree->new_array(tree));
        add_to_staged(L, tree, merge->draft, text, size);
        take_draft(L, merge, step, there ? MQLUA_MERGE_SET_KEY : MQLUA_MERGE_ADD_KEY,
                   &(mqlua_place){object, key, 0});
    } else if (tree->type(tree, node) != MQLUA_TREE_ARRAY || (!step && !tree->array_cut) ||
               (step && tree->array_size(tree, node) >= STEPS_MAX)) {
        return false;
    } else if (step) {
        add_to_staged(L, tree, node, text, size);
    } else {
        add_element(L, merge, node, text, size);
    }
    return true;
}

void mqlua_merge_push_added(lua_State *L, const mqlua_merge *merge, const void *node, const mqlua_path *path)
{
    for (size_t i = 0; i < merge->count; i++) {
        if (!is_added(&mqlua_merge_steps(merge)[i], node))
            continue;
        mqlua_value_push(L, merge->tree, mqlua_merge_steps(merge)[i].value, path);
        lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
    }
}

void mqlua_merge_drop_added(mqlua_merge *merge, const void *node)
{
    for (size_t i = merge->count; i > 0; i--)
        if (is_added(&mqlua_merge_steps(merge)[i - 1], node))
            mqlua_merge_drop(merge, &mqlua_merge_steps(merge)[i - 1]);
}
