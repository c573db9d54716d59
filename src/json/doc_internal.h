/* SPDX-License-Identifier: MIT */
#pragma once

/* Shared by doc.c (what scripts do with a document) and commit.c (what becomes of it). */

#include "json/doc.h"
#include "json/merge.h"
#include <lauxlib.h>

struct mqlua_doc {
    const void *mark; /* mqlua_doc_mark: tells a document from all other userdata */
    mqlua_merge merge;
    void *root;
    const mqlua_slot *slot;
    uint64_t serial;
    const mqlua_doc_hooks *hooks;
    void *ud;
    int cache;        /* registry reference to the cache, key to Lua value or to deleted; LUA_NOREF: none yet */
    bool handed;      /* a script got a nested table since the last commit, and may have changed it */
    bool staged;      /* a script assigned a key since then: the cache may have more than tables */
    unsigned applied; /* prepared: bit i is keys[i]; its value is at i + 1 in the cache */
};

/* What all documents of a state share is in one table of the registry. */
enum {
    MQLUA_DOC_META = 1, /* of the userdata */
    MQLUA_DOC_INDEX,
    MQLUA_DOC_NEWINDEX,
    MQLUA_DOC_PAIRS,
    MQLUA_DOC_TOTABLE,
};
void mqlua_doc_push_class(lua_State *L);
void mqlua_doc_set_class(lua_State *L); /* pops it */

/* Marks a deleted key in the cache; no script ever sees it. */
extern const char mqlua_doc_deleted;
extern const char mqlua_doc_mark;

bool mqlua_doc_is_cached(const mqlua_doc *doc);

bool mqlua_doc_is_alive(const mqlua_doc *doc);
bool mqlua_doc_is_deleted(lua_State *L, int index);

/* The hook of that name, or NULL. */
const mqlua_doc_key *mqlua_doc_find_hook(const mqlua_doc *doc, const char *key);

mqlua_path mqlua_doc_root_path(const mqlua_doc *doc);

/* Pushes the cache of a document that is cached. Needs a place on the stack, no memory, and never raises. */
void mqlua_doc_push_cache(lua_State *L, const mqlua_doc *doc);
