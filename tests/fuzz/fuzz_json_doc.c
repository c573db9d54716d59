/* SPDX-License-Identifier: MIT */

/*
 * A document and a plain table get the same edits; after the commit the tree must be equal to the table. The
 * first byte chooses the library, the second one the allocation of the library that fails (0: none): then the
 * tree must be as it was. Text of the tree follows, a NUL, and the edits.
 */

#include "json/doc.h"
#include "json/text.h"
#include "vm/vm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char source[] =
    "local json, program, null, array, add = ...\n"
    "local function is_array(t) return getmetatable(t) == 'array' or #t > 0 end\n"
    "local function keys(t, root)\n"
    "  local list = {}\n"
    "  for k in pairs(t) do\n"
    "    if k ~= 'totable' then list[#list + 1] = k end -- the method, on the outermost\n"
    "  end\n"
    "  table.sort(list)\n"
    "  return list\n"
    "end\n"
    "local function add_to_model(t, key, text)\n"
    "  local list = t[key]\n"
    "  if list == nil or list == null then t[key] = array{text} return end\n"
    "  for i = 1, #list do if list[i] == text then return end end\n"
    "  list[#list + 1] = text\n"
    "end\n"
    "local function edit(root, add)\n"
    "  local at = 1\n"
    "  local function byte() at = at + 1; return program:byte(at - 1) or 0 end\n"
    "  local function pick(list) return list[byte() % #list + 1] end\n"
    "  local function value(depth)\n"
    "    local kind = byte() % 8\n"
    "    if kind == 0 then return null elseif kind == 1 then return byte() % 2 == 0\n"
    "    elseif kind == 2 then return byte() - 128 elseif kind == 3 then return byte() / 7\n"
    "    elseif kind == 4 then return program:sub(at, at + byte()) elseif kind == 5 then return "
    "9007199254740993LL\n"
    "    elseif depth > 3 then return 'deep'\n"
    "    elseif kind == 6 then\n"
    "      local t = array{}\n"
    "      for i = 1, byte() % 4 do t[i] = value(depth + 1) end\n"
    "      return t\n"
    "    end\n"
    "    local t = {}\n"
    "    for i = 1, byte() % 4 do t['m' .. byte() % 8] = value(depth + 1) end\n"
    "    return t\n"
    "  end\n"
    "  while at <= #program do\n"
    "    local t = root\n"
    "    for _ = 1, byte() % 4 do\n"
    "      local list = keys(t)\n"
    "      local inner = #list > 0 and t[pick(list)]\n"
    "      if type(inner) == 'table' then t = inner end\n"
    "    end\n"
    "    local op = byte() % 6\n"
    "    if t ~= root and is_array(t) then\n"
    "      if op == 0 then table.insert(t, value(0)) elseif op == 1 then table.insert(t, 1, value(0))\n"
    "      elseif op == 2 then table.remove(t) elseif op == 3 and #t > 0 then table.remove(t, 1)\n"
    "      elseif #t > 0 then t[byte() % #t + 1] = value(0) end\n"
    "    else\n"
    "      local list = keys(t)\n"
    "      if op == 0 then t['n' .. byte() % 16] = value(0) elseif op == 1 then t[''] = value(0)\n"
    "      elseif #list > 0 and op == 2 then t[pick(list)] = value(0)\n"
    "      elseif #list > 0 and op == 3 then t[pick(list)] = nil\n"
    "      elseif op == 4 then\n"
    "        local key, text = 'n' .. byte() % 16, 's' .. byte() % 4\n"
    "        local list = rawequal(root, json) and json:totable()[key] or root[key]\n"
    "        if list == nil or list == null or (type(list) == 'table' and is_array(list)) then add(root, "
    "key, text) end\n"
    "      end\n"
    "    end\n"
    "  end\n"
    "end\n"
    "local function same(a, b, path)\n"
    "  if type(a) == 'table' and type(b) == 'table' then\n"
    "    if is_array(a) ~= is_array(b) then error(path .. ': array and object') end\n"
    "    for k in pairs(a) do same(a[k], b[k], path .. '.' .. k) end\n"
    "    for k in pairs(b) do if a[k] == nil then error(path .. '.' .. k .. ': missing') end end\n"
    "  elseif type(a) == 'string' and type(b) == 'string' and mq.json.encode(a) == mq.json.encode(b) then\n"
    "    return\n" /* what is no UTF-8 is U+FFFD in the tree */
    "  elseif not (a == b or (a ~= a and b ~= b)) then\n"
    "    error(path .. ': ' .. tostring(a) .. ' and ' .. tostring(b))\n"
    "  end\n"
    "end\n"
    "local model = json:totable()\n"
    "edit(json, add)\n"
    "edit(model, add_to_model)\n"
    "same(json:totable(), model, 'before')\n"
    "return function() same(json:totable(), model, 'after') end\n";

typedef struct run {
    mqlua_tree *tree;
    void *root;
    mqlua_slot slot;
    mqlua_doc doc;
    const char *edits;
    size_t edits_size;
    char *before;
    bool refused; /* the tree is too deep for Lua */
} run;

static const mqlua_doc_hooks hooks = {.name = "json"};
static mqlua_tree original;
static int fail_at, calls;

static bool fails(void)
{
    return ++calls == fail_at;
}

static void *new_object(const mqlua_tree *tree)
{
    return fails() ? NULL : original.new_object(tree);
}

static void *new_array(const mqlua_tree *tree)
{
    return fails() ? NULL : original.new_array(tree);
}

static void *new_string(const mqlua_tree *tree, const char *data, size_t size)
{
    return fails() ? NULL : original.new_string(tree, data, size);
}

static bool object_add(const mqlua_tree *tree, void *object, const char *key, void *value)
{
    return !fails() && original.object_add(tree, object, key, value);
}

static bool array_add(const mqlua_tree *tree, void *array, void *value)
{
    return !fails() && original.array_add(tree, array, value);
}

static void complain(const char *what)
{
    fprintf(stderr, "%s\n", what);
    abort();
}

static int open_json(lua_State *L)
{
    lua_newtable(L);
    mqlua_json_open(L);
    lua_setglobal(L, "mq");
    return 0;
}

/* add(json, key, text) */
static int l_add(lua_State *L)
{
    mqlua_doc_add_strings(L, mqlua_doc_test(L, 1), lua_tostring(L, 2), 3, 3);
    return 0;
}

static int start_edits(lua_State *L)
{
    run *r = lua_touserdata(L, 1);
    if (luaL_loadbuffer(L, source, sizeof(source) - 1, "=edits"))
        lua_error(L);
    mqlua_doc_begin(&r->doc, r->tree, r->root, &r->slot, &hooks, NULL);
    mqlua_doc_push(L, &r->doc);
    lua_pushvalue(L, -1);
    lua_setglobal(L, "json");
    lua_pushlstring(L, r->edits, r->edits_size);
    lua_getglobal(L, "mq");
    lua_getfield(L, -1, "null");
    lua_getfield(L, -2, "array");
    lua_remove(L, -3);
    lua_pushcfunction(L, l_add);
    lua_call(L, 5, 1);
    lua_setglobal(L, "after");
    return 0;
}

static int commit(lua_State *L)
{
    run *r = lua_touserdata(L, 1);
    if (mqlua_doc_prepare(L, &r->doc))
        mqlua_doc_apply(L, &r->doc);
    return 0;
}

static int compare(lua_State *L)
{
    lua_getglobal(L, "after");
    lua_call(L, 0, 0);
    return 0;
}

static bool is_expected(const char *error)
{
    return error && (strstr(error, "nested deeper") || strstr(error, "not enough memory"));
}

static void edit(mqlua_vm *vm, run *r)
{
    char *error = NULL;
    if (mqlua_vm_call(vm, start_edits, r, &error)) {
        if (!is_expected(error))
            complain(error ? error : "no message");
        r->refused = true;
    } else if (strcmp(r->before, original.text(r->tree, r->root)) != 0) {
        complain("the tree changed before the commit");
    } else {
        calls = 0;
        int failed = mqlua_vm_call(vm, commit, r, &error);
        if (failed && !is_expected(error))
            complain(error ? error : "no message");
        mqlua_doc_discard(mqlua_vm_state(vm), &r->doc);
        if (failed && strcmp(r->before, original.text(r->tree, r->root)) != 0)
            complain("the tree changed by half");
        if (!failed && mqlua_vm_call(vm, compare, r, &error))
            complain(error ? error : "no message");
    }
    free(error);
}

static mqlua_tree *load(bool jsonc)
{
    static mqlua_tree *trees[2];
    if (!trees[jsonc])
        trees[jsonc] = (mqlua_tree *)mqlua_tree_load(jsonc ? MQLUA_TREE_JSONC : MQLUA_TREE_FASTJSON, NULL);
    if (!trees[jsonc])
        complain("the library is missing");
    return trees[jsonc];
}

static void wrap(mqlua_tree *tree)
{
    original = *tree;
    tree->new_object = new_object;
    tree->new_array = new_array;
    tree->new_string = new_string;
    tree->object_add = object_add;
    tree->array_add = array_add;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    run r = {.tree = load(data[0] & 1)};
    const char *text = (const char *)data + 2, *end = memchr(text, 0, size - 2);
    size_t length = end ? (size_t)(end - text) : size - 2;
    bool ok;
    r.root = r.tree->parse(r.tree, text, length, &ok);
    if (r.tree->type(r.tree, r.root) == MQLUA_TREE_OBJECT && ok) {
        r.edits = end ? end + 1 : "";
        r.edits_size = end ? size - 3 - length : 0;
        wrap(r.tree);
        fail_at = data[1];
        mqlua_vm_limits limits = {.memory = (size_t)1 << 28};
        mqlua_vm *vm = mqlua_vm_new(&limits);
        mqlua_vm_setup(vm, open_json, NULL, NULL);
        r.before = strdup(original.text(r.tree, r.root));
        edit(vm, &r);
        r.slot.serial++;
        mqlua_doc_end(mqlua_vm_state(vm), &r.doc);
        mqlua_vm_free(vm);
        free(r.before);
        *r.tree = original;
    }
    r.tree->put(r.tree, r.root);
    return 0;
}
