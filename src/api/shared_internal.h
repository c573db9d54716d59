/* SPDX-License-Identifier: MIT */
#pragma once

/* What shared.c (the methods of a dictionary) and shared_declare.c (mq.shared itself) have in common. */

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
