/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Changes that make a tree equal to Lua values: found by comparing, prepared with everything that can fail,
 * carried out with nothing that can. What is equal stays as it is, in its place (except in an object of which
 * hundreds of members change: that one is made anew).
 *
 * A merge is zeroed memory at first. It may be used again after mqlua_merge_clear.
 */

#include "json/value.h"

typedef struct mqlua_merge_step mqlua_merge_step;

typedef struct mqlua_merge {
    const mqlua_tree *tree; /* set by the user */
    mqlua_merge_step *steps;
    size_t count, room;
} mqlua_merge;

/* Adds what makes the member key of object equal to the Lua value at index. path is that of the member.
 * Raises for what JSON cannot hold and for lack of memory; what was added stays for mqlua_merge_clear. */
void mqlua_merge_member(lua_State *L, mqlua_merge *merge, void *object, const char *key, int index,
                        const mqlua_path *path);

/* Adds the removal of the member, if there is such a member. Raises for lack of memory. */
void mqlua_merge_remove(lua_State *L, mqlua_merge *merge, void *object, const char *key);

/* Adds the new members and elements to the tree: the last thing that can fail. False: lack of memory, and the
 * tree is as it was; only mqlua_merge_clear may follow. True: only apply or clear may follow. Never raises.
 */
bool mqlua_merge_reserve(mqlua_merge *merge);

/* The rest, which cannot fail, and mqlua_merge_clear. Never raises. */
void mqlua_merge_apply(mqlua_merge *merge);

/* Forgets all steps; additions of mqlua_merge_reserve are taken back if the tree is still there. Never
 * raises. */
void mqlua_merge_clear(mqlua_merge *merge, bool tree_alive);
