/* SPDX-License-Identifier: MIT */
#pragma once

/* Shared by steps.c (the list), merge.c (what a comparison finds) and stage.c (what one assignment says). */

#include "json/merge.h"

/* Where in the tree a value is, to put another one there. */
typedef struct mqlua_place {
    void *container;
    const char *key; /* NULL: an element */
    size_t index;
} mqlua_place;

mqlua_merge_step *mqlua_merge_steps(const mqlua_merge *merge);

/* A new step, last in the list and without a value. Valid until the next one. Raises on lack of memory. */
mqlua_merge_step *mqlua_merge_add(lua_State *L, mqlua_merge *merge, enum mqlua_merge_kind kind,
                                  const mqlua_place *at);

/* Drops the steps from first on, or the draft. */
void mqlua_merge_forget(mqlua_merge *merge, size_t first);
void mqlua_merge_drop_draft(mqlua_merge *merge);

/* A tree may have NaN or infinity, which JSON text cannot hold: as long as nobody changes them they are left
 * alone. */
bool mqlua_merge_same_real(lua_State *L, int index, double real);
bool mqlua_merge_same_scalar(lua_State *L, const mqlua_scalar *a, const mqlua_scalar *b);
