/* SPDX-License-Identifier: MIT */

#include "json/doc_internal.h"
#include "vm/vm.h"

#include <string.h>
#include <lauxlib.h>

/* The metatable of the proxy holds the userdata of the document here. */
enum { SELF = 1 };

/* The document of the proxy at index if it is one. Needs 2 places on the stack; pushes nothing. */
static mqlua_doc *self_at(lua_State *L, int index)
{
    if (!lua_istable(L, index) || !lua_getmetatable(L, index))
        return NULL;
    lua_rawgeti(L, -1, SELF);
    mqlua_doc *doc = lua_type(L, -1) == LUA_TUSERDATA ? lua_touserdata(L, -1) : NULL;
    bool ours = doc && lua_objlen(L, -1) == sizeof *doc && doc->mark == &mqlua_doc_mark;
    lua_pop(L, 2);
    return ours ? doc : NULL;
}

mqlua_doc *mqlua_doc_test(lua_State *L, int index)
{
    return self_at(L, index);
}

/* The document of the proxy at 1; raises unless it is one that lives. */
static mqlua_doc *check_self(lua_State *L)
{
    mqlua_doc *doc = self_at(L, 1);
    if (!doc)
        luaL_argerror(L, 1, "a message's JSON expected");
    if (!mqlua_doc_is_alive(doc))
        luaL_error(L, "%s", doc->hooks->dead);
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
    doc->cache = luaL_ref(L, LUA_REGISTRYINDEX);
}

/* Pushes the cached value of the key at index, if there is one; nil when it was deleted. */
static bool push_cached(lua_State *L, mqlua_doc *doc, int key)
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

/* Pushes the value of a member in the tree, and keeps it if it is a table. */
static void push_member(lua_State *L, mqlua_doc *doc, int key, void *node)
{
    mqlua_scalar scalar;
    if (mqlua_value_scalar_of(doc->merge.tree, node, &scalar)) {
        mqlua_value_push_scalar(L, &scalar);
        return;
    }
    mqlua_path root = mqlua_doc_root_path(doc);
    mqlua_value_push(L, doc->merge.tree, node, &MQLUA_PATH_KEY(&root, lua_tostring(L, key)));
    lua_pushvalue(L, -1);
    keep(L, doc, key);
    doc->handed = true;
}

/* Pushes the value of the member whose name, a string, is at index; nil when there is none. */
static void push_value(lua_State *L, mqlua_doc *doc, int index)
{
    size_t size;
    if (push_cached(L, doc, index)) {
        doc->handed = doc->handed || lua_istable(L, -1);
        return;
    }
    const char *key = lua_tolstring(L, index, &size);
    const mqlua_doc_key *hook = mqlua_doc_find_hook(doc, key);
    void *node;
    if (memchr(key, 0, size)) {
        lua_pushnil(L); /* the tree has no such keys */
    } else if (hook && hook->get) {
        hook->get(L, doc->ud);
    } else if (doc->merge.tree->object_get(doc->merge.tree, doc->root, key, &node)) {
        push_member(L, doc, index, node);
    } else {
        lua_pushnil(L);
    }
}

/* The method, always: a member of that name comes from whoever sent the message (X-MQ-Totable) and must not
 * break a policy. */
static bool is_method(const char *key)
{
    return strcmp(key, "totable") == 0;
}

static int l_index(lua_State *L)
{
    mqlua_doc *doc = check_self(L);
    if (lua_type(L, 2) != LUA_TSTRING)
        return 0;
    if (is_method(lua_tostring(L, 2))) {
        mqlua_doc_push_class(L);
        lua_rawgeti(L, -1, MQLUA_DOC_TOTABLE);
    } else {
        push_value(L, doc, 2);
    }
    return 1;
}

static int l_newindex(lua_State *L)
{
    lua_settop(L, 3);
    mqlua_doc *doc = check_self(L);
    mqlua_path root = mqlua_doc_root_path(doc);
    if (lua_type(L, 2) != LUA_TSTRING)
        mqlua_path_raise(L, &root, "keys must be strings, not %s", luaL_typename(L, 2));
    const char *key = mqlua_value_key(L, 2, &root);
    if (is_method(key))
        mqlua_path_raise(L, &root, "totable is a method: no member of that name can be written");
    if (doc->hooks->check)
        doc->hooks->check(L, doc->ud, key, 3);
    const mqlua_doc_key *hook = mqlua_doc_find_hook(doc, key);
    if (lua_isnil(L, 3))
        lua_pushlightuserdata(L, (void *)&mqlua_doc_deleted);
    else if (hook && hook->apply)
        lua_pushvalue(L, 3);
    else
        mqlua_value_copy(L, 3, &MQLUA_PATH_KEY(&root, key));
    doc->handed = doc->handed || lua_istable(L, -1);
    keep(L, doc, 2);
    doc->staged = true;
    return 0;
}

/* Appends a key to the list on top of the stack, unless it is there; the list is also a set. */
static void list_key(lua_State *L, int list, int *count)
{
    lua_pushvalue(L, -1);
    lua_rawget(L, list);
    bool there = !lua_isnil(L, -1);
    lua_pop(L, 1);
    if (there) {
        lua_pop(L, 1);
        return;
    }
    lua_pushvalue(L, -1);
    lua_rawseti(L, list, ++*count);
    lua_pushboolean(L, 1);
    lua_rawset(L, list);
}

/* Pushes a list of all keys, those of the tree in its order first; some may turn out to have no value. */
static int push_keys(lua_State *L, mqlua_doc *doc)
{
    int count = 0;
    const mqlua_tree *tree = doc->merge.tree;
    size_t size = tree->object_size(tree, doc->root);
    mqlua_vm_charge(L, 4 * size);
    lua_createtable(L, (int)size, (int)size);
    int list = lua_gettop(L);
    mqlua_tree_iter iter = {.begun = false};
    while (tree->object_next(tree, doc->root, &iter)) {
        lua_pushstring(L, iter.key);
        list_key(L, list, &count);
    }
    if (mqlua_doc_is_cached(doc)) {
        mqlua_doc_push_cache(L, doc);
        lua_pushnil(L);
        while (lua_next(L, -2)) {
            lua_pop(L, 1);
            lua_pushvalue(L, -1);
            if (lua_type(L, -1) == LUA_TSTRING)
                list_key(L, list, &count);
            else
                lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    for (const mqlua_doc_key *hook = doc->hooks->keys; hook && hook->name; hook++) {
        lua_pushstring(L, hook->name);
        list_key(L, list, &count);
    }
    return count;
}

/* Upvalues: the list of keys, the number of those that are done. */
static int l_step(lua_State *L)
{
    lua_settop(L, 1);
    mqlua_doc *doc = check_self(L);
    int at = (int)lua_tointeger(L, lua_upvalueindex(2));
    for (;;) {
        lua_rawgeti(L, lua_upvalueindex(1), ++at);
        if (lua_isnil(L, -1))
            return 1;
        push_value(L, doc, 2);
        if (!lua_isnil(L, -1))
            break;
        lua_pop(L, 2);
    }
    lua_pushinteger(L, at);
    lua_replace(L, lua_upvalueindex(2));
    return 2;
}

static int l_pairs(lua_State *L)
{
    lua_settop(L, 1);
    mqlua_doc *doc = check_self(L);
    push_keys(L, doc);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, l_step, 2);
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

/* A value of a hook is a string for encoders, where it is an object that can be one. */
static void copy_value(lua_State *L, const mqlua_path *path)
{
    int value = lua_gettop(L);
    if (lua_type(L, value) != LUA_TUSERDATA || !luaL_callmeta(L, value, "__tostring"))
        mqlua_value_copy_out(L, value, path);
    lua_replace(L, value);
}

/* Pushes a copy of the value of the key at index. */
static void push_copy(lua_State *L, mqlua_doc *doc, int key)
{
    mqlua_path root = mqlua_doc_root_path(doc), path = MQLUA_PATH_KEY(&root, lua_tostring(L, key));
    const mqlua_doc_key *hook = mqlua_doc_find_hook(doc, path.key);
    void *node;
    if (push_cached(L, doc, key)) {
        if (!lua_isnil(L, -1))
            copy_value(L, &path);
    } else if (hook && hook->get) {
        hook->get(L, doc->ud);
        if (!lua_isnil(L, -1))
            copy_value(L, &path);
    } else if (doc->merge.tree->object_get(doc->merge.tree, doc->root, path.key, &node)) {
        mqlua_value_push(L, doc->merge.tree, node, &path);
    } else {
        lua_pushnil(L);
    }
}

static int l_totable(lua_State *L)
{
    lua_settop(L, 1);
    mqlua_doc *doc = check_self(L);
    int count = push_keys(L, doc);
    lua_createtable(L, 0, count);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, 2, i);
        push_copy(L, doc, lua_gettop(L));
        lua_rawset(L, 3);
    }
    return 1;
}

/* ---- making ---- */

static int l_gc(lua_State *L)
{
    mqlua_doc *doc = lua_touserdata(L, 1);
    mqlua_doc_discard(L, doc);
    return 0;
}

void mqlua_doc_open(lua_State *L)
{
    static const lua_CFunction functions[] = {[MQLUA_DOC_INDEX] = l_index,
                                              [MQLUA_DOC_NEWINDEX] = l_newindex,
                                              [MQLUA_DOC_PAIRS] = l_pairs,
                                              [MQLUA_DOC_TOTABLE] = l_totable};
    lua_createtable(L, MQLUA_DOC_TOTABLE, 0);
    for (int entry = MQLUA_DOC_INDEX; entry <= MQLUA_DOC_TOTABLE; entry++) {
        lua_pushcfunction(L, functions[entry]);
        lua_rawseti(L, -2, entry);
    }
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, l_gc);
    lua_setfield(L, -2, "__gc");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_rawseti(L, -2, MQLUA_DOC_META);
    mqlua_doc_set_class(L);
}

mqlua_doc *mqlua_doc_push(lua_State *L, const mqlua_tree *tree, void *root, mqlua_slot *slot,
                          const mqlua_doc_hooks *hooks, void *hook_ud)
{
    luaL_checkstack(L, 8, "too deep");
    if (tree->type(tree, root) != MQLUA_TREE_OBJECT)
        luaL_error(L, "the message's JSON is not an object");
    mqlua_doc_push_class(L);
    int class = lua_gettop(L);
    lua_newtable(L);
    lua_createtable(L, SELF, 4);
    mqlua_doc *doc = lua_newuserdata(L, sizeof(*doc));
    *doc = (mqlua_doc){.mark = &mqlua_doc_mark,
                       .cache = LUA_NOREF,
                       .merge = {.tree = tree},
                       .root = root,
                       .slot = slot,
                       .serial = slot->serial,
                       .hooks = hooks,
                       .ud = hook_ud};
    lua_rawgeti(L, class, MQLUA_DOC_META);
    lua_setmetatable(L, -2);
    lua_rawseti(L, -2, SELF);
    lua_rawgeti(L, class, MQLUA_DOC_INDEX);
    lua_setfield(L, -2, "__index");
    lua_rawgeti(L, class, MQLUA_DOC_NEWINDEX);
    lua_setfield(L, -2, "__newindex");
    lua_rawgeti(L, class, MQLUA_DOC_PAIRS);
    lua_setfield(L, -2, "__pairs");
    lua_pushstring(L, hooks->name);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_remove(L, class);
    return doc;
}
