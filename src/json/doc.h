/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A staged document: the host's JSON object as a Lua table that is read when asked for and written on commit.
 * Nested tables are looked at by a commit only when one was read since the last commit: a script that keeps
 * one across commits has to read it again before it changes it.
 *
 * To scripts it is an empty table with a metatable. Scalars come from the tree at each access. A nested
 * object or array becomes a real Lua table at the first access, kept by the document. What is assigned is
 * a step of the merge at once, where that says all there is to say; else a copy in Lua, which a commit
 * compares with the tree. Nothing reaches the tree before mqlua_doc_apply, and that cannot fail: a commit
 * happens as a whole or not at all.
 *
 * The tree may be changed by others only while nothing is staged. One thread; nothing yields.
 */

#include "json/merge.h"
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
    const mqlua_doc_key *keys; /* ends with a NULL name, at most 16; may be NULL */
    /* Sees every assignment to a top-level key (nil: deletion) before it is staged. May raise, and may put
     * another value at index. May be NULL. */
    void (*check)(lua_State *L, void *ud, const char *key, int index);
    /* Sees each top-level key in whose table mqlua_doc_prepare found a change. May raise. May be NULL. */
    void (*changed)(lua_State *L, void *ud, const char *key);
} mqlua_doc_hooks;

/* Belongs to whoever made it, from begin to end; its members are the business of src/json. */
typedef struct mqlua_doc {
    mqlua_merge merge;
    void *root;
    const mqlua_slot *slot; /* NULL: it has ended */
    uint64_t serial;
    const mqlua_doc_hooks *hooks;
    void *ud;
    struct mqlua_docs *docs; /* of the state, once there is a table */
    struct mqlua_doc *next;  /* in docs, with the same hash */
    const void *table;       /* what scripts see: the address of it, */
    int reference;           /* and what keeps it alive */
    int cache;   /* registry reference to the cache, key to Lua value or to deleted; LUA_NOREF: none yet */
    bool handed; /* a script got a nested table since the last commit, and may have changed it */
    bool staged; /* a script assigned since then what went into the cache */
    unsigned applied; /* prepared: bit i is keys[i]; its value is at i + 1 in the cache */
} mqlua_doc;

/* Once per state, after mqlua_value_open. Raises on lack of memory. */
void mqlua_doc_open(lua_State *L);

/* Makes memory that is zeroed, or whose document has ended, one over root, an object that lives until slot
 * ends. All that is passed, and doc itself, stays where it is until mqlua_doc_end. Never raises. */
void mqlua_doc_begin(mqlua_doc *doc, const mqlua_tree *tree, void *root, const mqlua_slot *slot,
                     const mqlua_doc_hooks *hooks, void *hook_ud);

/* Pushes the table that stands for doc. Raises on lack of memory, or when root is not an object. */
void mqlua_doc_push(lua_State *L, mqlua_doc *doc);

/* The document at index, or NULL when it is something else or has ended. Whether its slot has is not looked
 * at. Never raises. */
mqlua_doc *mqlua_doc_test(lua_State *L, int index);

/* What a script does with a member, without the checks of the hooks. get pushes the value, set pops it (nil:
 * deletion). Both raise. */
void mqlua_doc_get(lua_State *L, mqlua_doc *doc, const char *key);
void mqlua_doc_set(lua_State *L, mqlua_doc *doc, const char *key);

/* The text of a member as a script would read it. False: it is no text, or Lua has to be asked. */
bool mqlua_doc_text(mqlua_doc *doc, const char *key, const char **text, size_t *size);

/* Adds the strings from first to last on the stack to the array key, those that are not in it. Raises when
 * key is something else than an array, and on lack of memory. */
void mqlua_doc_add_strings(lua_State *L, mqlua_doc *doc, const char *key, int first, int last);

/* Whether there is anything for a commit to look at: a nested table was read, or a key assigned. */
bool mqlua_doc_is_touched(const mqlua_doc *doc);

/* Whether all of that can be written without a look at Lua values: then mqlua_doc_settle is the whole commit.
 * False: lack of memory; then the tree is unchanged and mqlua_doc_discard must follow. Neither raises. */
bool mqlua_doc_is_simple(const mqlua_doc *doc);
bool mqlua_doc_settle(mqlua_doc *doc);

/* First phase of a commit: compares what was read or written with the tree, and does all that can fail. True:
 * there is something to apply. From here to mqlua_doc_apply or mqlua_doc_discard no Lua may run (new members
 * are in the tree already). Raises with the path for what JSON cannot hold, for lack of memory, and when the
 * slot has ended; then the tree is unchanged and mqlua_doc_discard must follow. Costs next to nothing for an
 * untouched document. */
bool mqlua_doc_prepare(lua_State *L, mqlua_doc *doc);

/* Second phase. Never raises; needs 8 free places on the stack. The document can be used on. */
void mqlua_doc_apply(lua_State *L, mqlua_doc *doc);

/* Drops everything staged and every Lua table read so far. Never raises; also right for a dead slot. */
void mqlua_doc_discard(lua_State *L, mqlua_doc *doc);

/* The end: everything staged is dropped, the table raises from here on. Never raises. The slot has ended,
 * too, and is not looked at. Nothing happens when there is no document. */
void mqlua_doc_end(lua_State *L, mqlua_doc *doc);
