/* SPDX-License-Identifier: MIT */
#pragma once

/* Shared by doc.c (what scripts do with a document), walk.c (with all its members) and commit.c (what becomes
 * of it). */

#include "json/doc.h"
#include <lauxlib.h>

/* The documents of a state that have a table, by its address: so the table needs nothing in it that a script
 * could change, and costs no more than an empty one. */
enum { MQLUA_DOC_PLACES = 256 };
typedef struct mqlua_docs {
    const void *metatable; /* the address of that of all these tables */
    mqlua_doc *places[MQLUA_DOC_PLACES];
} mqlua_docs;

/* What all documents of a state share is in one table of the registry. */
enum {
    MQLUA_DOC_SET = 1, /* mqlua_docs */
    MQLUA_DOC_META,
    MQLUA_DOC_TOTABLE,
};
void mqlua_doc_push_class(lua_State *L);
void mqlua_doc_set_class(lua_State *L); /* pops it */

/* The error for use after the end. */
#define MQLUA_DOC_DEAD "message is over"

/* Where the document of that table is in docs, or belongs. */
mqlua_doc **mqlua_doc_place(mqlua_docs *docs, const void *table);

/* Marks a deleted key in the cache; no script ever sees it. */
extern const char mqlua_doc_deleted;

bool mqlua_doc_is_cached(const mqlua_doc *doc);

bool mqlua_doc_is_alive(const mqlua_doc *doc);
bool mqlua_doc_is_deleted(lua_State *L, int index);

/* The hook of that name, or NULL. */
const mqlua_doc_key *mqlua_doc_find_hook(const mqlua_doc *doc, const char *key);

/* amount: where the values that are made are counted; NULL: nowhere. */
mqlua_path mqlua_doc_root_path(const mqlua_doc *doc, mqlua_amount *amount);

/* Pushes the cache of a document that is cached. Needs a place on the stack, no memory, and never raises. */
void mqlua_doc_push_cache(lua_State *L, const mqlua_doc *doc);

/* For functions whose first upvalue is mqlua_docs: the document of the table at 1. Raises unless it is one
 * that lives. */
mqlua_doc *mqlua_doc_check(lua_State *L);

/* Pushes the value of the member whose name, a string, is at index; nil when there is none. */
void mqlua_doc_push_value(lua_State *L, mqlua_doc *doc, int index);

/* Pushes the cached value of the key at index, if there is one; nil when it was deleted. */
bool mqlua_doc_push_cached(lua_State *L, mqlua_doc *doc, int key);

/* walk.c: __pairs, and the method totable. */
int mqlua_doc_l_pairs(lua_State *L);
int mqlua_doc_l_totable(lua_State *L);
