/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Plain values from one vm to another: nil, booleans, numbers, strings, light userdata that is NULL
 * (mq.null), tables of these, shared and circular ones too. What else there is, is left out and told.
 *
 * A copy is bounded. Values and bytes are counted against limits.values and limits.bytes of the vm that
 * receives them, before they are made; a string or table that is there already counts once. A copy fills the
 * memory of that vm up to three quarters of its cap. Of a table that does not fit, each member is copied or
 * left out on its own. A small member (256 values, 16 KB) may use half of the last quarter.
 */

#include "vm/vm.h"

enum { MQLUA_COPY_PATH = 100, MQLUA_COPY_REASON = 160 };

typedef struct mqlua_copy {
    /* Optional, for what vm does not know. Neither may raise in from, both may in to; from has 8 free places.
     * other: the value at index is not plain; true when a copy of it was pushed on to.
     * mark: the table at index has a metatable; its copy is on top of to. */
    bool (*other)(lua_State *from, int index, lua_State *to);
    void (*mark)(lua_State *from, int index, lua_State *to);
    /* Borrowed; NULL: a table that is copied again in a later call becomes another table. Otherwise the last
     * number that a table was known by, from 0. Calls with the same counter know each other's tables: what
     * two values of from share is shared in to as well, as long as its copy is alive there, and the copy is
     * as it is by then. All vms of these calls belong to the counter's thread. */
    uint64_t *numbers;
    /* Filled in with the first value that was left out because of its type: its path (".a.b[3]") and type; ""
     * and NULL when there is none. */
    char path[MQLUA_COPY_PATH];
    const char *type;
    /* Filled in with the first value that was left out because of a limit, or lack of memory: its path, and
     * the reason; "" when there is none. */
    char lost_path[MQLUA_COPY_PATH];
    char lost[MQLUA_COPY_REASON];
} mqlua_copy;

/* Copies what the reference stands for in the registry of from; *copied becomes a reference in the registry
 * of to, LUA_NOREF when nothing but nil is left. False with *error (malloc'ed, NULL without memory) when
 * nothing at all could be copied. Both vms belong to the calling thread, which is not inside Lua in either.
 */
bool mqlua_copy_reference(mqlua_copy *copy, mqlua_vm *from, int reference, mqlua_vm *to, int *copied,
                          char **error);

/* vm forgets which tables of other vms its own are copies of: when no more copies are to come. Never raises.
 */
void mqlua_copy_forget(mqlua_vm *vm);
