/* SPDX-License-Identifier: MIT */
#pragma once

/* The incoming connections of a worker, in a map by the host's pointer: what the host stores for us per
 * connection is not used, because it is not documented to be ours in every place where we need it. */

#include "api/connection.h"
#include "api/state.h"

typedef struct mqlua_run mqlua_run;

/* A connection with what the plugin keeps about it. */
typedef struct mqlua_peer {
    mqlua_connection connection; /* first: a mqlua_peer is one */
    MQ_Connection *host;         /* key of the map; stays when connection.host is cleared */
    mqlua_state *state;          /* the generation that it is pinned to */
    mqlua_run *run;              /* the event that is paused or held */
    bool pinned;                 /* a transaction began: it is judged by one generation */
    bool delivered;              /* its message came: the next RCPT TO belongs to another one */
    bool mapped;
    uint8_t counted;               /* plugin/trial.h: what this transaction was counted as */
    mqlua_lane lane;               /* of what its tasks do */
    struct mqlua_peer *next;       /* in its bucket */
    SLIST_ENTRY(mqlua_peer) spare; /* worker->spare_peers */
} mqlua_peer;

/* Zeroed, it is empty. Its memory is kept: connections come and go all the time. */
typedef struct mqlua_peers {
    mqlua_peer **buckets; /* malloc'ed */
    unsigned bits;        /* there are 2^bits of them */
    size_t count;
} mqlua_peers;

/* Pointers are spread well enough by one multiplication. */
static inline mqlua_peer **mqlua_peers_bucket(const mqlua_peers *peers, MQ_Connection *host)
{
    return &peers->buckets[((uintptr_t)host * UINT64_C(0x9E3779B97F4A7C15)) >> (64 - peers->bits)];
}

/* NULL: it is not there. */
static inline mqlua_peer *mqlua_peers_find(const mqlua_peers *peers, MQ_Connection *host)
{
    if (!peers->count)
        return NULL;
    mqlua_peer *found = *mqlua_peers_bucket(peers, host);
    while (found && found->host != host)
        found = found->next;
    return found;
}

/* host is set, and not in the map. False on lack of memory. */
bool mqlua_peers_add(mqlua_peers *peers, mqlua_peer *peer);
void mqlua_peers_remove(mqlua_peers *peers, mqlua_peer *peer);

/* The one after peer, in no particular order; the first after NULL; NULL after the last. */
mqlua_peer *mqlua_peers_next(const mqlua_peers *peers, const mqlua_peer *peer);

/* The memory of the map itself. */
void mqlua_peers_free(mqlua_peers *peers);
