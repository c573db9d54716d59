/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A staged document: the host's JSON object as a Lua table that is read when asked for and written on commit.
 * Nested tables are looked at by a commit only when one was read since the last commit: a script that keeps one
 * across commits has to read it again before it changes it.
 *
 * To scripts it is an empty table with a metatable. Scalars come from the tree at each access. A nested
 * object or array becomes a real Lua table at the first access, kept by the document; what is assigned is
 * copied into it. Nothing reaches the tree before mqlua_doc_apply, and that cannot fail: a commit happens as
 * a whole or not at all.
 *
 * The tree may be changed by others only while nothing is staged; see mqlua_doc_refresh. One thread; nothing
 * yields.
 */

#include "json/tree.h"
#include "vm/object.h"

/* A key that is not (only) a member of the tree. */
typedef struct mqlua_doc_key {
    const char *name;
    /* Pushes the value instead of the tree's member, nil if there is none. May raise. NULL: as any other key.
     */
    void (*get)(lua_State *L, void *ud);
    /* Takes the committed value at index (nil: deleted) instead of the tree, after the tree was changed. Must
     * neither raise nor call Lua; lua_tolstring on strings is allowed. NULL: written to the tree as any other
     * key. */
    void (*apply)(lua_State *L, void *ud, int index);
} mqlua_doc_key;

typedef struct mqlua_doc_hooks {
    const char *name;          /* of the document in error messages: "json" */
    const char *dead;          /* error for use after the end of the slot: "message is over" */
    const mqlua_doc_key *keys; /* ends with a NULL name, at most 16; may be NULL */
    /* Sees every assignment to a top-level key (nil: deletion) before it is staged. May raise, and may put
     * another value at index. May be NULL. */
    void (*check)(lua_State *L, void *ud, const char *key, int index);
} mqlua_doc_hooks;

typedef struct mqlua_doc mqlua_doc;

/* Once per state, after mqlua_value_open. Raises on lack of memory. */
void mqlua_doc_open(lua_State *L);

/* Pushes a document over root, an object that lives until slot ends. tree, slot and hooks must outlive the
 * Lua state (slot: its memory). The mqlua_doc lives as long as Lua holds the table that was pushed. Raises on
 * lack of memory, or when root is not an object. */
mqlua_doc *mqlua_doc_push(lua_State *L, const mqlua_tree *tree, void *root, mqlua_slot *slot,
                          const mqlua_doc_hooks *hooks, void *hook_ud);

/* The document at index, or NULL when it is something else. Whether it is alive is not looked at. Never
 * raises. */
mqlua_doc *mqlua_doc_test(lua_State *L, int index);

/* Whether there is anything for a commit to look at: a nested table was read, or a key assigned. */
bool mqlua_doc_is_touched(const mqlua_doc *doc);

/* First phase of a commit: compares what was read or written with the tree, and does all that can fail. True:
 * there is something to apply. From here to mqlua_doc_apply or mqlua_doc_discard no Lua may run (new members
 * are in the tree already). Raises with the path for what JSON cannot hold, for lack of memory, and when the
 * slot has ended; then the tree is unchanged and mqlua_doc_discard must follow. Costs next to nothing for an
 * untouched document. */
bool mqlua_doc_prepare(lua_State *L, mqlua_doc *doc);

/* Between the phases: whether applying changes anything. Never raises. */
bool mqlua_doc_differs(const mqlua_doc *doc);

/* Second phase. Never raises; needs 8 free places on the stack. The document can be used on. */
void mqlua_doc_apply(lua_State *L, mqlua_doc *doc);

/* Drops everything staged and every Lua table read so far. Never raises; also right for a dead slot. */
void mqlua_doc_discard(lua_State *L, mqlua_doc *doc);

/* The same when the slot has ended, which is not looked at from here on: the state may be freed by another thread than that
 * of the slot. */
void mqlua_doc_end(lua_State *L, mqlua_doc *doc);

/* The host has another value for key now: what was read of it, or staged, is dropped. Raises on lack of
 * memory. */
void mqlua_doc_refresh(lua_State *L, mqlua_doc *doc, const char *key);
