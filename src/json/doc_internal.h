/* SPDX-License-Identifier: MIT */
#pragma once

/* Shared by doc.c (what scripts do with a document) and commit.c (what becomes of it). */

#include "json/doc.h"
#include "json/merge.h"

struct mqlua_doc {
    mqlua_merge merge;
    void *root;
    const mqlua_slot *slot;
    uint64_t serial;
    const mqlua_doc_hooks *hooks;
    void *ud;
    bool cached;      /* there is a cache: key to Lua value or to deleted */
    unsigned applied; /* prepared: bit i is keys[i]; its value is at i + 1 in the cache */
};

/* What all documents of a state share is in one table of the registry. Its caches are by the address of the
 * document. */
enum {
    MQLUA_DOC_CACHES = 1,
    MQLUA_DOC_META, /* of the userdata */
    MQLUA_DOC_INDEX,
    MQLUA_DOC_NEWINDEX,
    MQLUA_DOC_PAIRS,
    MQLUA_DOC_TOTABLE,
};
void mqlua_doc_push_class(lua_State *L);
void mqlua_doc_set_class(lua_State *L); /* pops it */

/* Marks a deleted key in the cache; no script ever sees it. */
extern const char mqlua_doc_deleted;

bool mqlua_doc_is_alive(const mqlua_doc *doc);
bool mqlua_doc_is_deleted(lua_State *L, int index);

/* The hook of that name, or NULL. */
const mqlua_doc_key *mqlua_doc_find_hook(const mqlua_doc *doc, const char *key);

mqlua_path mqlua_doc_root_path(const mqlua_doc *doc);

/* Pushes the cache of a document that is cached. Needs 3 places on the stack, no memory, and never raises. */
void mqlua_doc_push_cache(lua_State *L, const mqlua_doc *doc);
