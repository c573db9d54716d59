/* SPDX-License-Identifier: MIT */

#include "json/doc_internal.h"
#include "vm/refs.h"
#include "vm/vm.h"

#include <string.h>
#include <lauxlib.h>

/* ---- which document ---- */

mqlua_doc **mqlua_doc_place(mqlua_docs *docs, const void *table)
{
    uint64_t hash = (uint64_t)(uintptr_t)table * UINT64_C(0x9E3779B97F4A7C15);
    mqlua_doc **place = &docs->places[hash >> 32 & (MQLUA_DOC_PLACES - 1)];
    while (*place && (*place)->table != table)
        place = &(*place)->next;
    return place;
}

static mqlua_docs *docs_of(lua_State *L)
{
    mqlua_doc_push_class(L);
    lua_rawgeti(L, -1, MQLUA_DOC_SET);
    mqlua_docs *docs = lua_touserdata(L, -1);
    lua_pop(L, 2);
    return docs;
}

mqlua_doc *mqlua_doc_test(lua_State *L, int index)
{
    return lua_istable(L, index) ? *mqlua_doc_place(docs_of(L), lua_topointer(L, index)) : NULL;
}

static int raise_no_doc(lua_State *L, const mqlua_docs *docs)
{
    if (lua_istable(L, 1) && lua_getmetatable(L, 1) && lua_topointer(L, -1) == docs->metatable)
        return luaL_error(L, "%s", MQLUA_DOC_DEAD);
    return luaL_argerror(L, 1, "a message's JSON expected");
}

/* The document of the table at 1; raises unless it is one that lives. Upvalue 1: mqlua_docs. */
mqlua_doc *mqlua_doc_check(lua_State *L)
{
    mqlua_docs *docs = lua_touserdata(L, lua_upvalueindex(1));
    mqlua_doc *doc = *mqlua_doc_place(docs, lua_topointer(L, 1));
    if (!doc || !mqlua_doc_is_alive(doc))
        raise_no_doc(L, docs);
    return doc;
}

/* ---- the cache ---- */

/* Pushes the cache; it is made when first needed. */
static void push_cache(lua_State *L, mqlua_doc *doc)
{
    if (mqlua_doc_is_cached(doc)) {
        mqlua_doc_push_cache(L, doc);
        return;
    }
    lua_createtable(L, 0, 4);
    lua_pushvalue(L, -1);
    doc->cache = mqlua_refs_add(L);
}

/* Pushes the cached value of the key at index, if there is one; nil when it was deleted. */
bool mqlua_doc_push_cached(lua_State *L, mqlua_doc *doc, int key)
{
    if (!mqlua_doc_is_cached(doc))
        return false;
    mqlua_doc_push_cache(L, doc);
    lua_pushvalue(L, key);
    lua_rawget(L, -2);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 2);
        return false;
    }
    lua_remove(L, -2);
    if (mqlua_doc_is_deleted(L, -1)) {
        lua_pop(L, 1);
        lua_pushnil(L);
    }
    return true;
}

/* Keeps the value on top of the stack, and pops it. */
static void keep(lua_State *L, mqlua_doc *doc, int key)
{
    push_cache(L, doc);
    lua_insert(L, -2);
    lua_pushvalue(L, key);
    lua_insert(L, -2);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

/* ---- what scripts do ---- */

/* Pushes a node as the value of the key at index, and keeps it if it is a table. */
static void push_node(lua_State *L, mqlua_doc *doc, int key, void *node)
{
    mqlua_scalar scalar;
    if (mqlua_value_scalar_of(doc->merge.tree, node, &scalar)) {
        mqlua_value_push_scalar(L, &scalar);
        return;
    }
    mqlua_path root = mqlua_doc_root_path(doc, NULL), path = MQLUA_PATH_KEY(&root, lua_tostring(L, key));
    mqlua_value_push(L, doc->merge.tree, node, &path);
    mqlua_merge_push_added(L, &doc->merge, node, &path);
    lua_pushvalue(L, -1);
    keep(L, doc, key);
    doc->handed = true;
    mqlua_merge_drop_added(&doc->merge, node);
}

/* A table that was staged becomes one of Lua, which the script may change: from there on a commit compares
 * it. */
static void push_staged(lua_State *L, mqlua_doc *doc, int key, mqlua_merge_step *step)
{
    if (step->kind == MQLUA_MERGE_DELETE_KEY) {
        lua_pushnil(L);
        return;
    }
    push_node(L, doc, key, step->value);
    if (lua_istable(L, -1))
        mqlua_merge_drop(&doc->merge, step);
}

/* Pushes the value of the member whose name, a string, is at index; nil when there is none. */
void mqlua_doc_push_value(lua_State *L, mqlua_doc *doc, int index)
{
    size_t size;
    if (mqlua_doc_push_cached(L, doc, index)) {
        doc->handed = doc->handed || lua_istable(L, -1);
        return;
    }
    const char *key = lua_tolstring(L, index, &size);
    if (memchr(key, 0, size)) {
        lua_pushnil(L); /* the tree has no such keys */
        return;
    }
    mqlua_merge_step *step = mqlua_merge_find(&doc->merge, doc->root, key);
    const mqlua_doc_key *hook = mqlua_doc_find_hook(doc, key);
    void *node;
    if (step)
        push_staged(L, doc, index, step);
    else if (hook && hook->get)
        hook->get(L, doc->ud);
    else if (doc->merge.tree->object_get(doc->merge.tree, doc->root, key, &node))
        push_node(L, doc, index, node);
    else
        lua_pushnil(L);
}

/* The method, always: a member of that name comes from whoever sent the message (X-MQ-Totable) and must not
 * break a policy. */
static bool is_method(const char *key)
{
    return *key == 't' && strcmp(key, "totable") == 0;
}

static int l_index(lua_State *L)
{
    mqlua_doc *doc = mqlua_doc_check(L);
    if (lua_type(L, 2) != LUA_TSTRING)
        return 0;
    if (is_method(mqlua_object_name(L, 2))) {
        mqlua_doc_push_class(L);
        lua_rawgeti(L, -1, MQLUA_DOC_TOTABLE);
    } else {
        mqlua_doc_push_value(L, doc, 2);
    }
    return 1;
}

/* Keeps the value on top of the stack as what is assigned to key, and pops it; no step is left for that. */
static void keep_instead(lua_State *L, mqlua_doc *doc, int key)
{
    const mqlua_tree *tree = doc->merge.tree;
    const char *name = lua_tostring(L, key);
    bool is_table = lua_istable(L, -1);
    keep(L, doc, key); /* may raise: a document that says of itself that something is in its cache has one */
    doc->handed = doc->handed || is_table;
    doc->staged = true;
    mqlua_merge_step *step = mqlua_merge_find(&doc->merge, doc->root, name);
    void *node;
    if (step)
        mqlua_merge_drop(&doc->merge, step);
    if (doc->merge.count && tree->object_get(tree, doc->root, name, &node))
        mqlua_merge_drop_added(&doc->merge, node);
}

/* Puts a copy of the value at index value under the key at index key into the cache, for the next commit to
 * compare. */
static void stage_in_cache(lua_State *L, mqlua_doc *doc, int key, int value, bool as_it_is,
                           const mqlua_path *path)
{
    if (lua_isnil(L, value))
        lua_pushlightuserdata(L, (void *)&mqlua_doc_deleted);
    else if (as_it_is)
        lua_pushvalue(L, value);
    else
        mqlua_value_copy(L, value, path);
    keep_instead(L, doc, key);
}

/* Forgets the cached value of the key at index: to an existing key, so no memory is needed. */
static void uncache(lua_State *L, mqlua_doc *doc, int key)
{
    if (!mqlua_doc_push_cached(L, doc, key))
        return;
    lua_pop(L, 1);
    mqlua_doc_push_cache(L, doc);
    lua_pushvalue(L, key);
    lua_pushnil(L);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

/* A table that replaces a value of the tree is compared with it at the commit, so that what is equal stays as
 * it is. */
static bool is_step(lua_State *L, const mqlua_doc *doc, const char *key, int value)
{
    void *node;
    return mqlua_merge_takes(L, &doc->merge, value) &&
           (!lua_istable(L, value) || !doc->merge.tree->object_get(doc->merge.tree, doc->root, key, &node));
}

/* Stages the value at index value (nil: deletion) for the member whose name is at index key. */
static void assign(lua_State *L, mqlua_doc *doc, int key, int value)
{
    mqlua_amount amount = {0, 0};
    mqlua_path root = mqlua_doc_root_path(doc, &amount), path = MQLUA_PATH_KEY(&root, lua_tostring(L, key));
    const mqlua_doc_key *hook = mqlua_doc_find_hook(doc, path.key);
    if ((hook && hook->apply) || !is_step(L, doc, path.key, value)) {
        stage_in_cache(L, doc, key, value, hook && hook->apply, &path);
    } else {
        mqlua_merge_stage(L, &doc->merge, doc->root, path.key, value, &path);
        uncache(L, doc, key);
    }
}

static int l_newindex(lua_State *L)
{
    lua_settop(L, 3);
    mqlua_doc *doc = mqlua_doc_check(L);
    mqlua_path root = mqlua_doc_root_path(doc, NULL);
    if (lua_type(L, 2) != LUA_TSTRING)
        mqlua_path_raise(L, &root, "keys must be strings, not %s", luaL_typename(L, 2));
    const char *key = mqlua_value_key(L, 2, &root);
    if (is_method(key))
        mqlua_path_raise(L, &root, "totable is a method: no member of that name can be written");
    if (doc->hooks->check)
        doc->hooks->check(L, doc->ud, key, 3);
    assign(L, doc, 2, 3);
    return 0;
}

/* ---- what C does ---- */

void mqlua_doc_get(lua_State *L, mqlua_doc *doc, const char *key)
{
    luaL_checkstack(L, 8, "too deep");
    lua_pushstring(L, key);
    mqlua_doc_push_value(L, doc, lua_gettop(L));
    lua_remove(L, -2);
}

void mqlua_doc_set(lua_State *L, mqlua_doc *doc, const char *key)
{
    luaL_checkstack(L, 8, "too deep");
    int value = lua_gettop(L);
    lua_pushstring(L, key);
    assign(L, doc, value + 1, value);
    lua_settop(L, value - 1);
}

bool mqlua_doc_text(mqlua_doc *doc, const char *key, const char **text, size_t *size)
{
    const mqlua_tree *tree = doc->merge.tree;
    const mqlua_doc_key *hook = mqlua_doc_find_hook(doc, key);
    mqlua_merge_step *step = mqlua_merge_find(&doc->merge, doc->root, key);
    void *node = NULL;
    if (!mqlua_doc_is_simple(doc) || (hook && hook->get))
        return false;
    if (step)
        node = step->value;
    else if (!tree->object_get(tree, doc->root, key, &node))
        return false;
    if (tree->type(tree, node) != MQLUA_TREE_STRING)
        return false;
    *text = tree->string(tree, node, size);
    return true;
}

/* Adds the value at index to the list at list, unless it is in it. */
static void add_to_list(lua_State *L, int list, int index)
{
    int count = (int)lua_objlen(L, list);
    mqlua_vm_charge(L, (size_t)count);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, list, i);
        bool there = lua_rawequal(L, -1, index);
        lua_pop(L, 1);
        if (there)
            return;
    }
    lua_pushvalue(L, index);
    lua_rawseti(L, list, count + 1);
}

static bool is_null(lua_State *L, int index)
{
    return lua_islightuserdata(L, index) && !lua_touserdata(L, index);
}

/* Pushes the array under the key at index as Lua has it, a new one where there is none. */
static void push_list(lua_State *L, mqlua_doc *doc, int key)
{
    mqlua_doc_push_value(L, doc, key);
    if (lua_isnil(L, -1) || is_null(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
        mqlua_value_mark(L, MQLUA_TREE_ARRAY);
        lua_pushvalue(L, -1);
        keep_instead(L, doc, key);
    } else if (!lua_istable(L, -1)) {
        luaL_error(L, "%s.%s is not an array", doc->hooks->name, lua_tostring(L, key));
    }
    doc->handed = true;
}

/* As steps, as long as nothing of the array is in Lua. */
void mqlua_doc_add_strings(lua_State *L, mqlua_doc *doc, const char *key, int first, int last)
{
    luaL_checkstack(L, 8, "too deep");
    lua_pushstring(L, key);
    int name = lua_gettop(L), i = first;
    bool in_lua = mqlua_doc_push_cached(L, doc, name);
    lua_settop(L, name);
    while (!in_lua && i <= last && mqlua_merge_append(L, &doc->merge, doc->root, key, i))
        i++;
    if (i <= last)
        push_list(L, doc, name);
    for (; i <= last; i++)
        add_to_list(L, name + 1, i);
    lua_settop(L, name - 1);
}

/* ---- making ---- */

static void push_function(lua_State *L, lua_CFunction function, int docs)
{
    lua_pushvalue(L, docs);
    lua_pushcclosure(L, function, 1);
}

void mqlua_doc_open(lua_State *L)
{
    lua_createtable(L, MQLUA_DOC_TOTABLE, 0);
    int class = lua_gettop(L);
    mqlua_docs *docs = lua_newuserdata(L, sizeof *docs);
    memset(docs, 0, sizeof *docs);
    lua_createtable(L, 0, 4);
    docs->metatable = lua_topointer(L, -1);
    push_function(L, l_index, class + 1);
    lua_setfield(L, -2, "__index");
    push_function(L, l_newindex, class + 1);
    lua_setfield(L, -2, "__newindex");
    push_function(L, mqlua_doc_l_pairs, class + 1);
    lua_setfield(L, -2, "__pairs");
    lua_pushliteral(L, "json");
    lua_setfield(L, -2, "__metatable");
    lua_rawseti(L, class, MQLUA_DOC_META);
    push_function(L, mqlua_doc_l_totable, class + 1);
    lua_rawseti(L, class, MQLUA_DOC_TOTABLE);
    lua_rawseti(L, class, MQLUA_DOC_SET);
    mqlua_doc_set_class(L);
}

void mqlua_doc_begin(mqlua_doc *doc, const mqlua_tree *tree, void *root, const mqlua_slot *slot,
                     const mqlua_doc_hooks *hooks, void *hook_ud)
{
    doc->merge.tree = tree; /* the rest of it is as mqlua_doc_end left it: empty */
    doc->root = root;
    doc->slot = slot;
    doc->serial = slot->serial;
    doc->hooks = hooks;
    doc->ud = hook_ud;
    doc->table = NULL;
    doc->cache = LUA_NOREF;
    doc->handed = doc->staged = false;
    doc->applied = 0;
}

/* Enters doc under the table on top of the stack. */
static void enter(lua_State *L, mqlua_doc *doc, mqlua_docs *docs)
{
    lua_pushvalue(L, -1);
    doc->reference = mqlua_refs_add(L);
    doc->table = lua_topointer(L, -1);
    doc->docs = docs;
    mqlua_doc **place = mqlua_doc_place(docs, doc->table);
    doc->next = NULL;
    *place = doc;
}

void mqlua_doc_push(lua_State *L, mqlua_doc *doc)
{
    if (doc->table) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, doc->reference);
        return;
    }
    luaL_checkstack(L, 8, "too deep");
    if (doc->merge.tree->type(doc->merge.tree, doc->root) != MQLUA_TREE_OBJECT)
        luaL_error(L, "the message's JSON is not an object");
    mqlua_doc_push_class(L);
    lua_newtable(L);
    lua_rawgeti(L, -2, MQLUA_DOC_META);
    lua_setmetatable(L, -2);
    lua_rawgeti(L, -2, MQLUA_DOC_SET);
    mqlua_docs *docs = lua_touserdata(L, -1);
    lua_pop(L, 1);
    lua_remove(L, -2);
    enter(L, doc, docs);
}
