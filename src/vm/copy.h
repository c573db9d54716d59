/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Plain values from one vm to another: nil, booleans, numbers, strings, light userdata that is NULL
 * (mq.null), tables of these, shared and circular ones too. What else there is, is left out and told.
 */

#include "vm/vm.h"

typedef struct mqlua_copy {
    /* Optional, for what vm does not know. Neither may raise in from, both may in to; from has 8 free places.
     * other: the value at index is not plain; true when a copy of it was pushed on to.
     * mark: the table at index has a metatable; its copy is on top of to. */
    bool (*other)(lua_State *from, int index, lua_State *to);
    void (*mark)(lua_State *from, int index, lua_State *to);
    /* Filled in with the first value that was left out: its path (".a.b[3]") and type; "" and NULL when there
     * is none. */
    char path[100];
    const char *type;
} mqlua_copy;

/* Copies what the reference stands for in the registry of from; *copied becomes a reference in the registry
 * of to, LUA_NOREF when nothing but nil is left. False with *error (malloc'ed, NULL without memory) when that
 * failed. Both vms belong to the calling thread, which is not inside Lua in either. */
bool mqlua_copy_reference(mqlua_copy *copy, mqlua_vm *from, int reference, mqlua_vm *to, int *copied,
                          char **error);
