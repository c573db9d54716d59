/* SPDX-License-Identifier: MIT */
#pragma once

/* A vm with JSON open and a document over a tree, for the tests of src/json. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json/doc.h"
#include "json/text.h"
#include "json/value.h"
#include "vm/vm.h"

typedef struct fixture {
    mqlua_vm *vm;
    mqlua_tree *tree;
    void *root;
    mqlua_slot slot;
    const mqlua_doc_hooks *hooks;
    void *ud;
    mqlua_doc doc;
    const char *code;
    bool changed;
} fixture;

static const mqlua_doc_hooks plain_hooks = {.name = "json"};

static int fixture_open_json(lua_State *L)
{
    lua_newtable(L);
    mqlua_json_open(L);
    lua_setglobal(L, "mq");
    return 0;
}

static inline mqlua_vm *fixture_vm(void)
{
    mqlua_vm_limits limits = {.memory = (size_t)1 << 30};
    mqlua_vm *vm = mqlua_vm_new(&limits);
    assert_non_null(vm);
    char *error = NULL;
    if (mqlua_vm_setup(vm, fixture_open_json, NULL, &error))
        fail_msg("%s", error);
    return vm;
}

static int fixture_push_doc(lua_State *L)
{
    fixture *f = lua_touserdata(L, 1);
    mqlua_doc_push(L, &f->doc);
    lua_setglobal(L, "json");
    return 0;
}

static inline void *fixture_parse(const mqlua_tree *tree, const char *text)
{
    bool ok;
    void *root = tree->parse(tree, text, strlen(text), &ok);
    assert_true(ok);
    return root;
}

static inline void fixture_start(fixture *f, enum mqlua_tree_library library, const char *text,
                                 const mqlua_doc_hooks *hooks, void *ud)
{
    char *error = NULL;
    *f = (fixture){.vm = fixture_vm(), .hooks = hooks ? hooks : &plain_hooks, .ud = ud};
    f->tree = (mqlua_tree *)mqlua_tree_load(library, &error);
    if (!f->tree)
        fail_msg("%s", error);
    f->root = fixture_parse(f->tree, text);
    mqlua_doc_begin(&f->doc, f->tree, f->root, &f->slot, f->hooks, f->ud);
    if (mqlua_vm_setup(f->vm, fixture_push_doc, f, &error))
        fail_msg("%s", error);
}

static inline void fixture_stop(fixture *f)
{
    f->slot.serial++;
    mqlua_doc_end(mqlua_vm_state(f->vm), &f->doc);
    mqlua_vm_free(f->vm);
    f->tree->put(f->tree, f->root);
    mqlua_tree_free(f->tree);
}

static int fixture_run_code(lua_State *L)
{
    fixture *f = lua_touserdata(L, 1);
    if (luaL_loadstring(L, f->code))
        lua_error(L);
    lua_call(L, 0, 0);
    return 0;
}

/* NULL, or the error, which the caller frees. */
static inline char *fixture_try(fixture *f, const char *code)
{
    char *error = NULL;
    f->code = code;
    if (mqlua_vm_call(f->vm, fixture_run_code, f, &error))
        return error ? error : strdup("no message");
    return NULL;
}

static inline void fixture_run(fixture *f, const char *code)
{
    char *error = fixture_try(f, code);
    if (error)
        fail_msg("%s\nin: %s", error, code);
}

static int fixture_prepare_doc(lua_State *L)
{
    fixture *f = lua_touserdata(L, 1);
    f->changed = mqlua_doc_prepare(L, &f->doc);
    if (f->changed)
        mqlua_doc_apply(L, &f->doc);
    return 0;
}

/* NULL, or the error, which the caller frees; then everything staged is gone. */
static inline char *fixture_try_commit(fixture *f)
{
    char *error = NULL;
    if (!mqlua_vm_call(f->vm, fixture_prepare_doc, f, &error))
        return NULL;
    mqlua_doc_discard(mqlua_vm_state(f->vm), &f->doc);
    return error ? error : strdup("no message");
}

static inline void fixture_commit(fixture *f)
{
    char *error = fixture_try_commit(f);
    if (error)
        fail_msg("%s", error);
}

static inline const char *fixture_text(fixture *f)
{
    return f->tree->text(f->tree, f->root);
}
