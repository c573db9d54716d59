/* SPDX-License-Identifier: MIT */
#pragma once

/* Where in a JSON document we are, for error messages: json.data.a[3]. A chain of structs on the C stack. */

#include <stddef.h>
#include <lua.h>

/* What was made of values of scripts so far. A table counts as often as it is met: in JSON there are only
 * trees. */
typedef struct mqlua_amount {
    size_t values, bytes; /* bytes: of texts and keys */
} mqlua_amount;

typedef struct mqlua_path {
    const struct mqlua_path *up; /* NULL: the root, whose key is the name of the document */
    const char *key;             /* NULL: an element of an array; else ends with NUL */
    size_t index;                /* of an element, from 1 */
    const void *table;           /* the Lua table met here, to see cycles; may be NULL */
    unsigned depth;              /* 0 at the root */
    mqlua_amount *amount;        /* where what is made is counted; NULL: nowhere */
} mqlua_path;

/* The paths of a member and of an element. */
#define MQLUA_PATH_KEY(up, key)     ((mqlua_path){(up), (key), 0, NULL, (up)->depth + 1, (up)->amount})
#define MQLUA_PATH_INDEX(up, index) ((mqlua_path){(up), NULL, (index), NULL, (up)->depth + 1, (up)->amount})

/* Counts one more value of so many bytes, to be called before it is made, and charges it to the run-time
 * budget. Raises when there are more than the limits of the vm allow. */
void mqlua_path_count(lua_State *L, const mqlua_path *path, size_t bytes);

/* Raises "<place in the script>: <path>: <message>"; the format is that of lua_pushfstring. */
int mqlua_path_raise(lua_State *L, const mqlua_path *path, const char *format, ...)
    __attribute__((noreturn, cold));
