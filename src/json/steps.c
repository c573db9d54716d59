/* SPDX-License-Identifier: MIT */

/* The list of steps, and how they are carried out. */

#include "json/merge_internal.h"

#include <stdlib.h>
#include <string.h>
#include <lauxlib.h>

mqlua_merge_step *mqlua_merge_steps(const mqlua_merge *merge)
{
    return (mqlua_merge_step *)(merge->more ? merge->more : merge->few);
}

static const char *step_key(const mqlua_merge_step *step)
{
    return step->long_key ? step->long_key : step->key;
}

static bool make_room(mqlua_merge *merge)
{
    size_t room = merge->more ? merge->room : MQLUA_MERGE_FEW;
    if (merge->count < room)
        return true;
    mqlua_merge_step *steps = realloc(merge->more, 2 * room * sizeof(*steps));
    if (!steps)
        return false;
    if (!merge->more)
        memcpy(steps, merge->few, sizeof(merge->few));
    merge->more = steps;
    merge->room = 2 * room;
    return true;
}

static bool set_key(mqlua_merge_step *step, const char *key)
{
    size_t size = key ? strlen(key) + 1 : 0;
    if (size > sizeof(step->key))
        return (step->long_key = strdup(key)) != NULL;
    memcpy(step->key, key ? key : "", size);
    return true;
}

mqlua_merge_step *mqlua_merge_add(lua_State *L, mqlua_merge *merge, enum mqlua_merge_kind kind,
                                  const mqlua_place *at)
{
    if (!make_room(merge))
        luaL_error(L, "not enough memory");
    mqlua_merge_step *step = &mqlua_merge_steps(merge)[merge->count];
    *step = (mqlua_merge_step){.kind = kind, .container = at->container, .index = at->index};
    if (!set_key(step, at->key))
        luaL_error(L, "not enough memory");
    merge->count++;
    return step;
}

void mqlua_merge_drop_draft(mqlua_merge *merge)
{
    if (merge->draft)
        merge->tree->put(merge->tree, merge->draft);
    merge->draft = NULL;
}

/* ---- carrying them out ---- */

static void take_back(mqlua_merge *merge)
{
    const mqlua_tree *tree = merge->tree;
    for (size_t i = merge->count; i > 0; i--) {
        mqlua_merge_step *step = &mqlua_merge_steps(merge)[i - 1];
        if (!step->reserved)
            continue;
        if (step->kind == MQLUA_MERGE_ADD_KEY)
            tree->object_del(tree, step->container, step_key(step));
        else
            tree->array_cut(tree, step->container, step->index);
    }
}

bool mqlua_merge_reserve(mqlua_merge *merge)
{
    const mqlua_tree *tree = merge->tree;
    for (size_t i = 0; i < merge->count; i++) {
        mqlua_merge_step *step = &mqlua_merge_steps(merge)[i];
        if (step->kind == MQLUA_MERGE_ADD_KEY)
            step->reserved = tree->object_add(tree, step->container, step_key(step), step->value);
        else if (step->kind == MQLUA_MERGE_ADD_INDEX)
            step->reserved = tree->array_add(tree, step->container, step->value);
        else
            continue;
        if (!step->reserved) {
            mqlua_merge_clear(merge, true);
            return false;
        }
    }
    return true;
}

static void release(mqlua_merge *merge, mqlua_merge_step *step)
{
    if (!step->reserved && step->value)
        merge->tree->put(merge->tree, step->value);
    free(step->long_key);
}

void mqlua_merge_forget(mqlua_merge *merge, size_t first)
{
    for (size_t i = first; i < merge->count; i++)
        release(merge, &mqlua_merge_steps(merge)[i]);
    merge->count = first;
}

mqlua_merge_step *mqlua_merge_find(mqlua_merge *merge, const void *object, const char *key)
{
    for (size_t i = 0; i < merge->count; i++) {
        mqlua_merge_step *step = &mqlua_merge_steps(merge)[i];
        if (step->container == object && step->kind <= MQLUA_MERGE_DELETE_KEY &&
            strcmp(step_key(step), key) == 0)
            return step;
    }
    return NULL;
}

const char *mqlua_merge_key(const mqlua_merge *merge, size_t step)
{
    const mqlua_merge_step *s = &mqlua_merge_steps(merge)[step];
    return s->kind <= MQLUA_MERGE_DELETE_KEY ? step_key(s) : NULL;
}

void mqlua_merge_drop(mqlua_merge *merge, mqlua_merge_step *step)
{
    release(merge, step);
    mqlua_merge_step *last = &mqlua_merge_steps(merge)[--merge->count];
    memmove(step, step + 1, (size_t)(last - step) * sizeof(*step));
}

static void forget_all(mqlua_merge *merge)
{
    mqlua_merge_forget(merge, 0);
    mqlua_merge_drop_draft(merge);
    free(merge->more);
    merge->more = NULL;
    merge->made = (mqlua_amount){0, 0};
}

void mqlua_merge_apply(mqlua_merge *merge)
{
    const mqlua_tree *tree = merge->tree;
    for (size_t i = 0; i < merge->count; i++) {
        mqlua_merge_step *step = &mqlua_merge_steps(merge)[i];
        if (step->kind == MQLUA_MERGE_SET_KEY)
            step->reserved = tree->object_set(tree, step->container, step_key(step), step->value);
        else if (step->kind == MQLUA_MERGE_SET_INDEX)
            step->reserved = tree->array_set(tree, step->container, step->index, step->value);
        else if (step->kind == MQLUA_MERGE_DELETE_KEY)
            tree->object_del(tree, step->container, step_key(step));
        else if (step->kind == MQLUA_MERGE_CUT)
            tree->array_cut(tree, step->container, step->index);
    }
    forget_all(merge);
}

void mqlua_merge_clear(mqlua_merge *merge, bool tree_alive)
{
    if (tree_alive)
        take_back(merge);
    forget_all(merge);
}
