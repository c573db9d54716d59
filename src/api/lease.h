/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a connection holds of a shared count, such as a place among the connections of a client. It is given
 * back by C when the connection ends, whichever way, and belongs to no generation: a reload changes nothing
 * about it.
 */

#include "base/dicts.h"

typedef struct mqlua_lease mqlua_lease;
enum { MQLUA_LEASES = 64 }; /* of one owner, at most */

/* Zeroed, it is empty. */
typedef struct mqlua_leases {
    LIST_HEAD(mqlua_lease_list, mqlua_lease) list;
    unsigned count;
} mqlua_leases;

/* Takes one of at most limit places that key has in shared, for the owner of leases. *count is how many are
 * taken now, this one included. OK (also when the owner has one already), TOO_MUCH, NOT_NUMBER or NO_MEMORY
 * (also for more than MQLUA_LEASES keys). */
mqlua_dict_status mqlua_lease_take(mqlua_leases *leases, mqlua_dicts *dicts, mqlua_shared *shared,
                                   const char *key, size_t size, double limit, double *count);

/* Gives one place back. False: the owner had none. */
bool mqlua_lease_give(mqlua_leases *leases, mqlua_shared *shared, const char *key, size_t size);

/* Gives everything back. */
void mqlua_leases_end(mqlua_leases *leases);
