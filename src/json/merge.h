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

enum mqlua_merge_kind {
    MQLUA_MERGE_SET_KEY,
    MQLUA_MERGE_ADD_KEY,
    MQLUA_MERGE_DELETE_KEY,
    MQLUA_MERGE_SET_INDEX,
    MQLUA_MERGE_ADD_INDEX,
    MQLUA_MERGE_CUT,
};

typedef struct mqlua_merge_step {
    enum mqlua_merge_kind kind;
    bool reserved;   /* the addition is in the tree, which owns the value now */
    void *container; /* an object or array of the tree */
    char *long_key;  /* of an object; owned. NULL: it is in key */
    char key[24];
    size_t index; /* of an array, from 0; the size to cut to */
    void *value;  /* owned unless reserved */
} mqlua_merge_step;

/* Most commits have a step or two: those take no memory of their own. */
enum { MQLUA_MERGE_FEW = 2 };

/* Does not move while it is in use. */
typedef struct mqlua_merge {
    const mqlua_tree *tree; /* set by the user */
    mqlua_merge_step *more; /* instead of few, when there are more than that */
    size_t count, room;     /* room: of more */
    mqlua_amount made;      /* of comparisons; what is staged is little (mqlua_merge_takes) */
    void *draft;            /* a value that is being made: its owner when making it raises */
    mqlua_merge_step few[MQLUA_MERGE_FEW];
} mqlua_merge;

/* Adds what makes the member key of object equal to the Lua value at index. path is that of the member.
 * Raises for what JSON cannot hold and for lack of memory; what was added stays for mqlua_merge_clear. */
void mqlua_merge_member(lua_State *L, mqlua_merge *merge, void *object, const char *key, int index,
                        const mqlua_path *path);

/* Adds the removal of the member, if there is such a member. Raises for lack of memory. */
void mqlua_merge_remove(lua_State *L, mqlua_merge *merge, void *object, const char *key);

/* Whether the value at index (a table is looked through) may be staged or appended. What is staged takes
 * memory of the host's library, which no cap of a script counts, and each look-up goes through all of it:
 * so it is little, and the rest waits in Lua. Raises on lack of stack. */
bool mqlua_merge_takes(lua_State *L, const mqlua_merge *merge, int index);

/* Adds what makes the member key of object the Lua value at index (nil: removed), in place of what was added
 * for it, or to the array that it was, before. When it raises, that is as it was. A table takes the place of
 * the old value as a whole. */
void mqlua_merge_stage(lua_State *L, mqlua_merge *merge, void *object, const char *key, int index,
                       const mqlua_path *path);

/* Adds the string at index to the array under the member key of object, unless it is in it; where there is no
 * such member, to a new one. False: there is another value, or an array that cannot be taken back, or
 * mqlua_merge_takes does not take it. Raises for lack of memory. */
bool mqlua_merge_append(lua_State *L, mqlua_merge *merge, void *object, const char *key, int index);

/* Appends to the value on top of the stack, made of node, what was added to node if it is an array. Raises.
 */
void mqlua_merge_push_added(lua_State *L, const mqlua_merge *merge, const void *node, const mqlua_path *path);

/* Forgets what was added for the array node; may be called with any node. */
void mqlua_merge_drop_added(mqlua_merge *merge, const void *node);

/* The step that replaces, adds or removes the member key of object as a whole; NULL when there is none. Valid
 * until another one is added. */
mqlua_merge_step *mqlua_merge_find(mqlua_merge *merge, const void *object, const char *key);

/* The member that a step is for; NULL when it is for an element. */
const char *mqlua_merge_key(const mqlua_merge *merge, size_t step);

/* Forgets a step that mqlua_merge_find has found. */
void mqlua_merge_drop(mqlua_merge *merge, mqlua_merge_step *step);

/* Adds the new members and elements to the tree: the last thing that can fail. False: lack of memory, and the
 * tree is as it was; only mqlua_merge_clear may follow. True: only apply or clear may follow. Never raises.
 */
bool mqlua_merge_reserve(mqlua_merge *merge);

/* The rest, which cannot fail, and mqlua_merge_clear. Never raises. */
void mqlua_merge_apply(mqlua_merge *merge);

/* Forgets all steps; additions of mqlua_merge_reserve are taken back if the tree is still there. Never
 * raises. */
void mqlua_merge_clear(mqlua_merge *merge, bool tree_alive);
