/* SPDX-License-Identifier: MIT */
#pragma once

/* What shared.c (the methods of a dictionary), shared_value.c (its keys and values) and shared_declare.c
 * (mq.shared itself) have in common. */

#include "api/shared.h"
#include "vm/object.h"

/* A dictionary as Lua has it. */
typedef struct mqlua_shared_handle {
    mqlua_object object;
    mqlua_shared *shared; /* lives as long as the state: the state has declared it */
    mqlua_dict *dict;     /* its own */
    unsigned slot;        /* where its hits and misses are counted */
    mqlua_dict_scratch scratch;
} mqlua_shared_handle;

extern const mqlua_type mqlua_shared_type;

/* Pushes nil and why: how many. May raise. */
int mqlua_shared_fail(lua_State *L, const char *why);

/* What went wrong, as OpenResty says it. Static. */
const char *mqlua_shared_why(mqlua_dict_status status);

/* The value at index, NONE for nil; false: it is nothing that a dictionary can hold. Its text is that of the
 * stack. Charges for it, and may raise. */
bool mqlua_shared_check_value(lua_State *L, int index, mqlua_dict_value *value);

/* Seconds at index as milliseconds; 0 where there are none. Raises for what is no time to live; name is that
 * of the argument. */
uint64_t mqlua_shared_check_ttl(lua_State *L, int index, const char *name);

/* Pushes a value that was read with the scratch of self, which does not stay large. May raise. */
void mqlua_shared_push_value(lua_State *L, mqlua_shared_handle *self, const mqlua_dict_value *value);
