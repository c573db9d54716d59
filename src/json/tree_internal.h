/* SPDX-License-Identifier: MIT */
#pragma once

/* Shared by tree.c and the files for each library. */

#include "json/tree.h"

typedef struct mqlua_tree_symbol {
    const char *name;
    size_t offset; /* of the function pointer in the table being filled */
    bool optional;
} mqlua_tree_symbol;

/* What tree.c must know of a library. The first symbol is one that no other library has. */
typedef struct mqlua_tree_source {
    const mqlua_tree *functions;      /* the first member of every table */
    size_t size;                      /* of a table */
    const char *const *sonames;       /* tried in order; ends with NULL */
    const mqlua_tree_symbol *symbols; /* ends with a NULL name */
    void (*adapt)(void *table);       /* after filling; may be NULL */
} mqlua_tree_source;

extern const mqlua_tree_source mqlua_tree_fastjson, mqlua_tree_jsonc;
