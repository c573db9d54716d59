/* SPDX-License-Identifier: MIT */
#pragma once

/* What goes along from one generation to the next: plain values only. Both states belong to the calling
 * thread, which is not inside Lua in either. */

#include "api/connection.h"
#include "api/env.h"

/* Moves a connection to the state of env, with its vars and those of its transaction; objects of it that the
 * old state has are dead from here on. No task of it may be alive. numbers: one counter for all connections
 * of a worker, so that what they share stays shared (vm/copy.h). */
void mqlua_move_connection(mqlua_connection *connection, mqlua_env *env, uint64_t *numbers);

/* What a state hands on to the one after it, in a vm of its own, so that it can go to another thread. */
typedef struct mqlua_parcel mqlua_parcel;

/* Calls the reload handlers of the state of env until one returns something. NULL when none does, or on lack
 * of memory.
 */
mqlua_parcel *mqlua_parcel_pack(mqlua_env *from);

/* Makes what is in it mq.generation.carried. parcel may be NULL, and stays the caller's. */
void mqlua_parcel_unpack(const mqlua_parcel *parcel, mqlua_env *to);
void mqlua_parcel_free(mqlua_parcel *parcel);
