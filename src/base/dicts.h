/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The dictionaries of the process, by name. A dictionary is there as long as somebody uses it, and beyond:
 * who comes back to it finds its entries. What nobody uses goes when another one needs its room, the longest
 * unused first.
 *
 * The sum of the capacities is bounded for each generation of a policy, and for all of them together at twice
 * that: the next one finds room while the one before goes on. Any thread.
 */

#include "base/dict.h"
#include "base/list.h"

#include <stdatomic.h>

enum { MQLUA_SHARED_NAME = 64 }; /* longest name, bytes */

typedef struct mqlua_dicts mqlua_dicts;

/* One of them. Its members are the registry's, but for dict and name, which stay as they are while it is
 * used. */
typedef struct mqlua_shared {
    mqlua_dict *dict;
    char name[MQLUA_SHARED_NAME + 1];
    LIST_ENTRY(mqlua_shared) link;
    size_t capacity; /* bytes, as asked for */
    bool persist;    /* it is kept in a file */
    unsigned users;
    uint64_t left;  /* when the last user left: counts leavings */
    uint64_t saved; /* changes that the file has */
} mqlua_shared;

/* limit: bytes for those of one generation together, 0: 64 GB. fill (may be NULL) is called with a new
 * dictionary that is to persist, before anybody knows it. NULL when memory is out. Owned by the caller. */
mqlua_dicts *mqlua_dicts_new(size_t limit, void (*fill)(void *ud, mqlua_shared *shared), void *ud);

/* Nobody uses one of them any more. NULL is fine. */
void mqlua_dicts_free(mqlua_dicts *dicts);

/* Whether text can name a dictionary: letters, digits, '_', '-' and '.', not first a '.', at most
 * MQLUA_SHARED_NAME bytes. */
bool mqlua_dicts_is_name(const char *text, size_t size);

/* The dictionary of that name, made with that capacity where there is none. mine: the capacities that the
 * generation asked for before. Each call takes a close. NULL with *error (malloc'ed) when there is no room or
 * no memory. */
mqlua_shared *mqlua_dicts_open(mqlua_dicts *dicts, const char *name, size_t capacity, bool persist,
                               size_t mine, char **error);
void mqlua_dicts_close(mqlua_dicts *dicts, mqlua_shared *shared);

/* One more user of one that is used: one more close. */
void mqlua_dicts_use(mqlua_dicts *dicts, mqlua_shared *shared);

/* From here on this is its capacity, and whether it persists. False with *error: there is no room; then it is
 * as it was. */
bool mqlua_dicts_settle(mqlua_dicts *dicts, mqlua_shared *shared, size_t capacity, bool persist,
                        char **error);

/* Calls visit for each, without the registry's lock. A dictionary that nobody uses is no younger by it. */
void mqlua_dicts_each(mqlua_dicts *dicts, void (*visit)(void *ud, mqlua_shared *shared), void *ud);

/* A collector of base/metrics.h: entries, bytes, hits, misses and so on of each (dicts_metrics.c). dicts is a
 * mqlua_dicts. */
void mqlua_dicts_collect(void *dicts, FILE *out, bool with_headers);
