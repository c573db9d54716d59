/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Work on the bytes of a mail: at once where it is short, and on a helper thread, with a copy of the bytes,
 * where it would stop the worker and the caller may wait.
 */

#include "api/await.h"
#include "base/threads.h"
#include "mime/module.h"
#include "mime/scan.h"
#include "vm/object.h"

#include <stdatomic.h>

typedef struct mqlua_work mqlua_work;

struct mqlua_work {
    mqlua_await await; /* first */
    mqlua_job job;
    bool delivered;
    void (*run)(mqlua_work *work);               /* any thread; no Lua */
    int (*push)(lua_State *L, mqlua_work *work); /* pushes the results; may raise */

    const mqlua_mime_library *library;
    mqlua_mime_module *module;
    mqlua_mime_limits limits;
    const char *data;
    size_t size;
    char *copy; /* malloc'ed: data, on a helper */

    mqlua_mime_encoding encoding;
    char charset[64];

    mqlua_mime mime;
    mqlua_texts texts;
    mqlua_mime_result result;
    char *value, *out; /* malloc'ed */
    size_t out_size;
};

/* Registers what guards a work while Lua has it. Raises. */
void mqlua_work_open(lua_State *L);

/* Pushes a guard and returns a zeroed work, which the guard frees. The module is loaded. Raises when that
 * fails, and on lack of memory. */
mqlua_work *mqlua_work_new(lua_State *L);

/* Gives text (malloc'ed) to the work, in place of its out. Raises when it is NULL: memory is out. */
void mqlua_work_own(lua_State *L, mqlua_work *work, char *text);

/* Runs the work that is guarded by what is on top of the stack, and pushes its results: return
 * mqlua_work_do(L, work). data stays as it is while the caller's arguments are on the stack. May wait and
 * raise. */
int mqlua_work_do(lua_State *L, mqlua_work *work);
