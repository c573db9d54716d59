/* SPDX-License-Identifier: MIT */

#include "api/lease.h"

#include <stdlib.h>
#include <string.h>

struct mqlua_lease {
    LIST_ENTRY(mqlua_lease) link;
    mqlua_dicts *dicts;
    mqlua_shared *shared; /* used by this lease */
    size_t size;
    char key[];
};

static mqlua_lease *find(const mqlua_leases *leases, const mqlua_shared *shared, const char *key, size_t size)
{
    mqlua_lease *lease;
    LIST_FOREACH(lease, &leases->list, link)
    if (lease->shared == shared && lease->size == size && memcmp(lease->key, key, size) == 0)
        return lease;
    return NULL;
}

static mqlua_lease *make(mqlua_dicts *dicts, mqlua_shared *shared, const char *key, size_t size)
{
    mqlua_lease *lease = malloc(sizeof *lease + size);
    if (!lease)
        return NULL;
    lease->dicts = dicts;
    lease->shared = shared;
    lease->size = size;
    memcpy(lease->key, key, size);
    return lease;
}

static double number_of(const mqlua_dict_value *value)
{
    return value->type == MQLUA_DICT_INTEGER ? (double)value->integer : value->number;
}

/* A count lives for ever until it is 0 again: what is held is never evicted. */
mqlua_dict_status mqlua_lease_take(mqlua_leases *leases, mqlua_dicts *dicts, mqlua_shared *shared,
                                   const char *key, size_t size, double limit, double *count)
{
    static const mqlua_dict_value one = {.type = MQLUA_DICT_NUMBER, .number = 1};
    static const mqlua_dict_value none = {.type = MQLUA_DICT_NUMBER, .number = 0};
    mqlua_dict_value most = {.type = MQLUA_DICT_NUMBER, .number = limit}, result = none;
    bool again = find(leases, shared, key, size) != NULL;
    if (again) {
        mqlua_dict_status status =
            mqlua_dict_incr(shared->dict, key, size, &none, &none, 0, NULL, &result, NULL);
        *count = number_of(&result);
        return status;
    }
    mqlua_lease *lease = leases->count < MQLUA_LEASES ? make(dicts, shared, key, size) : NULL;
    if (!lease)
        return MQLUA_DICT_NO_MEMORY;
    mqlua_dict_status status = mqlua_dict_incr(shared->dict, key, size, &one, &none, 0, &most, &result, NULL);
    *count = number_of(&result);
    if (status != MQLUA_DICT_OK) {
        free(lease);
        return status;
    }
    mqlua_dicts_use(dicts, shared);
    LIST_INSERT_HEAD(&leases->list, lease, link);
    leases->count++;
    return status;
}

static void end(mqlua_leases *leases, mqlua_lease *lease)
{
    static const mqlua_dict_value less = {.type = MQLUA_DICT_NUMBER, .number = -1};
    mqlua_dict_value result;
    LIST_REMOVE(lease, link);
    leases->count--;
    if (mqlua_dict_incr(lease->shared->dict, lease->key, lease->size, &less, NULL, 0, NULL, &result, NULL) ==
            MQLUA_DICT_OK &&
        number_of(&result) <= 0)
        mqlua_dict_swap(lease->shared->dict, lease->key, lease->size, &result, &(mqlua_dict_value){0},
                        &(mqlua_dict_options){0}); /* unless somebody has taken one meanwhile */
    mqlua_dicts_close(lease->dicts, lease->shared);
    free(lease);
}

bool mqlua_lease_give(mqlua_leases *leases, mqlua_shared *shared, const char *key, size_t size)
{
    mqlua_lease *lease = find(leases, shared, key, size);
    if (lease)
        end(leases, lease);
    return lease != NULL;
}

void mqlua_leases_end(mqlua_leases *leases)
{
    while (!LIST_EMPTY(&leases->list))
        end(leases, LIST_FIRST(&leases->list));
}
