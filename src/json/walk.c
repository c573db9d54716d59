/* SPDX-License-Identifier: MIT */

/* All members of a document: pairs and totable. */

#include "json/doc_internal.h"
#include "vm/vm.h"
#include "vm/stack.h"

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
    for (size_t i = 0; i < doc->merge.count; i++) {
        const char *key = mqlua_merge_key(&doc->merge, i);
        if (key) {
            lua_pushstring(L, key);
            list_key(L, list, &count);
        }
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

/* Upvalues: mqlua_docs, the list of keys, the number of those that are done. */
static int l_step(lua_State *L)
{
    lua_settop(L, 1);
    mqlua_doc *doc = mqlua_doc_check(L);
    int at = (int)lua_tointeger(L, lua_upvalueindex(3));
    for (;;) {
        lua_rawgeti(L, lua_upvalueindex(2), ++at);
        if (lua_isnil(L, -1))
            return 1;
        mqlua_doc_push_value(L, doc, 2);
        if (!lua_isnil(L, -1))
            break;
        lua_pop(L, 2);
    }
    lua_pushinteger(L, at);
    lua_replace(L, lua_upvalueindex(3));
    return 2;
}

int mqlua_doc_l_pairs(lua_State *L)
{
    lua_settop(L, 1);
    mqlua_doc *doc = mqlua_doc_check(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    push_keys(L, doc);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, l_step, 3);
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

/* A value of a hook is a string for encoders, where it is an object that can be one. */
static void copy_value(lua_State *L, const mqlua_path *path)
{
    int value = lua_gettop(L);
    mqlua_stack_check(L);
    if (lua_type(L, value) != LUA_TUSERDATA || !luaL_callmeta(L, value, "__tostring"))
        mqlua_value_copy_out(L, value, path);
    lua_replace(L, value);
}

/* Pushes a copy of the value of the key at index. */
static void push_copy(lua_State *L, mqlua_doc *doc, int key, mqlua_amount *amount)
{
    mqlua_path root = mqlua_doc_root_path(doc, amount), path = MQLUA_PATH_KEY(&root, lua_tostring(L, key));
    const mqlua_doc_key *hook = mqlua_doc_find_hook(doc, path.key);
    mqlua_merge_step *step = mqlua_merge_find(&doc->merge, doc->root, path.key);
    void *node;
    if (mqlua_doc_push_cached(L, doc, key)) {
        if (!lua_isnil(L, -1))
            copy_value(L, &path);
    } else if (step && step->kind == MQLUA_MERGE_DELETE_KEY) {
        lua_pushnil(L);
    } else if (step) {
        mqlua_value_push(L, doc->merge.tree, step->value, &path);
    } else if (hook && hook->get) {
        hook->get(L, doc->ud);
        if (!lua_isnil(L, -1))
            copy_value(L, &path);
    } else if (doc->merge.tree->object_get(doc->merge.tree, doc->root, path.key, &node)) {
        mqlua_value_push(L, doc->merge.tree, node, &path);
        mqlua_merge_push_added(L, &doc->merge, node, &path);
    } else {
        lua_pushnil(L);
    }
}

int mqlua_doc_l_totable(lua_State *L)
{
    lua_settop(L, 1);
    mqlua_doc *doc = mqlua_doc_check(L);
    mqlua_amount amount = {0, 0};
    int count = push_keys(L, doc);
    lua_createtable(L, 0, count);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, 2, i);
        push_copy(L, doc, lua_gettop(L), &amount);
        lua_rawset(L, 3);
    }
    return 1;
}
