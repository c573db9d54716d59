/* SPDX-License-Identifier: MIT */

/* What becomes of a document: prepared, applied, discarded. */

#include "json/doc_internal.h"
#include "vm/bytes.h"
#include "vm/refs.h"

#include <string.h>
#include <lauxlib.h>

const char mqlua_doc_deleted = 0;
static const char registry_key;

void mqlua_doc_push_class(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)&registry_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
}

void mqlua_doc_set_class(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)&registry_key);
    lua_insert(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
}

bool mqlua_doc_is_touched(const mqlua_doc *doc)
{
    return doc->handed || doc->staged || doc->merge.count;
}

bool mqlua_doc_is_simple(const mqlua_doc *doc)
{
    return !doc->handed && !doc->staged;
}

bool mqlua_doc_is_cached(const mqlua_doc *doc)
{
    return doc->cache != LUA_NOREF;
}

void mqlua_doc_push_cache(lua_State *L, const mqlua_doc *doc)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, doc->cache);
}

bool mqlua_doc_is_alive(const mqlua_doc *doc)
{
    return doc->slot && doc->slot->serial == doc->serial;
}

bool mqlua_doc_is_deleted(lua_State *L, int index)
{
    return lua_touserdata(L, index) == &mqlua_doc_deleted;
}

const mqlua_doc_key *mqlua_doc_find_hook(const mqlua_doc *doc, const char *key)
{
    const mqlua_doc_key *hook = doc->hooks->keys;
    while (hook && hook->name && (*hook->name != *key || strcmp(hook->name, key) != 0))
        hook++;
    return hook && hook->name ? hook : NULL;
}

mqlua_path mqlua_doc_root_path(const mqlua_doc *doc, mqlua_amount *amount)
{
    return (mqlua_path){NULL, doc->hooks->name, 0, NULL, 0, amount};
}

/* What the host copies when a hook is applied. */
static void count_hooked(lua_State *L, const mqlua_path *path)
{
    const char *text;
    size_t size;
    if (mqlua_bytes_to(L, lua_gettop(L), &text, &size))
        mqlua_path_count(L, path, size);
}

/* Finds the steps for the key at -2 with the kept value at -1. */
static void prepare_key(lua_State *L, mqlua_doc *doc)
{
    const char *key = lua_tostring(L, -2);
    const mqlua_doc_key *hook = mqlua_doc_find_hook(doc, key);
    mqlua_path root = mqlua_doc_root_path(doc, &doc->merge.made), path = MQLUA_PATH_KEY(&root, key);
    if (hook && hook->apply) {
        count_hooked(L, &path);
        doc->applied |= 1u << (hook - doc->hooks->keys);
    } else if (mqlua_doc_is_deleted(L, -1)) {
        mqlua_merge_remove(L, &doc->merge, doc->root, key);
    } else {
        size_t before = doc->merge.count;
        mqlua_merge_member(L, &doc->merge, doc->root, key, lua_gettop(L), &path);
        if (doc->merge.count != before && doc->hooks->changed)
            doc->hooks->changed(L, doc->ud, key);
    }
}

/* Puts the values for the hooks where apply finds them without making a string. */
static void prepare_hooks(lua_State *L, mqlua_doc *doc, int cache)
{
    for (int i = 0; doc->applied >> i; i++) {
        if (!(doc->applied >> i & 1))
            continue;
        lua_pushstring(L, doc->hooks->keys[i].name);
        lua_rawget(L, cache);
        lua_rawseti(L, cache, i + 1);
    }
}

static void prepare_cache(lua_State *L, mqlua_doc *doc)
{
    mqlua_doc_push_cache(L, doc);
    int cache = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, cache)) {
        bool looked_at = doc->handed || !lua_istable(L, -1);
        if (looked_at && lua_type(L, -2) == LUA_TSTRING)
            prepare_key(L, doc);
        lua_pop(L, 1);
    }
    if (doc->applied)
        prepare_hooks(L, doc, cache);
    lua_pop(L, 1);
}

bool mqlua_doc_prepare(lua_State *L, mqlua_doc *doc)
{
    if (!mqlua_doc_is_alive(doc))
        luaL_error(L, "%s", MQLUA_DOC_DEAD);
    if (!mqlua_doc_is_touched(doc))
        return false;
    luaL_checkstack(L, 16, "too deep");
    doc->applied = 0;
    if (!mqlua_doc_is_simple(doc))
        prepare_cache(L, doc);
    if (!mqlua_merge_reserve(&doc->merge))
        luaL_error(L, "not enough memory for the message's JSON");
    return true;
}

bool mqlua_doc_settle(mqlua_doc *doc)
{
    if (!mqlua_doc_is_alive(doc) || !mqlua_merge_reserve(&doc->merge))
        return false;
    mqlua_merge_apply(&doc->merge);
    return true;
}

static void apply_hooks(lua_State *L, mqlua_doc *doc, int cache)
{
    for (int i = 0; doc->applied >> i; i++) {
        if (!(doc->applied >> i & 1))
            continue;
        lua_rawgeti(L, cache, i + 1);
        if (mqlua_doc_is_deleted(L, -1)) {
            lua_pop(L, 1);
            lua_pushnil(L);
        }
        doc->hooks->keys[i].apply(L, doc->ud, lua_gettop(L));
        lua_settop(L, cache);
    }
}

/* After a commit only tables are kept: scripts may hold them, and they equal what is in the tree. */
static void drop_scalars(lua_State *L, mqlua_doc *doc, int cache)
{
    lua_pushnil(L);
    while (lua_next(L, cache)) {
        const mqlua_doc_key *hook =
            lua_type(L, -2) == LUA_TSTRING ? mqlua_doc_find_hook(doc, lua_tostring(L, -2)) : NULL;
        bool kept = lua_istable(L, -1) && lua_type(L, -2) == LUA_TSTRING && !(hook && hook->apply);
        lua_pop(L, 1);
        if (!kept) {
            lua_pushvalue(L, -1);
            lua_pushnil(L);
            lua_rawset(L, cache); /* to an existing key: needs no memory */
        }
    }
}

void mqlua_doc_apply(lua_State *L, mqlua_doc *doc)
{
    mqlua_merge_apply(&doc->merge);
    doc->handed = false;
    if (!doc->staged)
        return;
    mqlua_doc_push_cache(L, doc);
    int cache = lua_gettop(L);
    apply_hooks(L, doc, cache);
    doc->applied = 0;
    drop_scalars(L, doc, cache);
    doc->staged = false;
    lua_pop(L, 1);
}

void mqlua_doc_discard(lua_State *L, mqlua_doc *doc)
{
    mqlua_merge_clear(&doc->merge, mqlua_doc_is_alive(doc));
    doc->applied = 0;
    doc->handed = doc->staged = false;
    mqlua_refs_drop(mqlua_vm_of(L), doc->cache);
    doc->cache = LUA_NOREF;
}

/* In a chain from its place on. */
static void leave_docs(mqlua_doc *doc)
{
    mqlua_doc **link = mqlua_doc_place(doc->docs, doc->table);
    if (*link == doc)
        *link = doc->next;
}

void mqlua_doc_end(lua_State *L, mqlua_doc *doc)
{
    if (!doc->slot)
        return;
    doc->slot = NULL;
    mqlua_doc_discard(L, doc);
    if (!doc->table)
        return;
    leave_docs(doc);
    mqlua_refs_drop(mqlua_vm_of(L), doc->reference);
    doc->table = NULL;
}
