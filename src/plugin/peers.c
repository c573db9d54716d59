/* SPDX-License-Identifier: MIT */

#include "plugin/peers.h"
#include <stdlib.h>

enum { FIRST_BITS = 6 };

static void insert(mqlua_peers *peers, mqlua_peer *peer)
{
    mqlua_peer **bucket = mqlua_peers_bucket(peers, peer->host);
    peer->next = *bucket;
    *bucket = peer;
}

static bool grow(mqlua_peers *peers)
{
    mqlua_peers grown = {.bits = peers->bits ? peers->bits + 1 : FIRST_BITS, .count = peers->count};
    mqlua_peer *next;
    grown.buckets = calloc((size_t)1 << grown.bits, sizeof *grown.buckets);
    if (!grown.buckets)
        return false;
    for (mqlua_peer *peer = mqlua_peers_next(peers, NULL); peer; peer = next) {
        next = mqlua_peers_next(peers, peer);
        insert(&grown, peer);
    }
    free(peers->buckets);
    *peers = grown;
    return true;
}

bool mqlua_peers_add(mqlua_peers *peers, mqlua_peer *peer)
{
    bool full = !peers->bits || peers->count >> peers->bits;
    if (full && !grow(peers) && !peers->bits) /* a full one is slow, but good */
        return false;
    insert(peers, peer);
    peers->count++;
    return true;
}

void mqlua_peers_remove(mqlua_peers *peers, mqlua_peer *peer)
{
    mqlua_peer **link = mqlua_peers_bucket(peers, peer->host);
    while (*link != peer)
        link = &(*link)->next;
    *link = peer->next;
    peers->count--;
}

mqlua_peer *mqlua_peers_next(const mqlua_peers *peers, const mqlua_peer *peer)
{
    if (peer && peer->next)
        return peer->next;
    if (!peers->count)
        return NULL;
    mqlua_peer **end = peers->buckets + ((size_t)1 << peers->bits);
    for (mqlua_peer **b = peer ? mqlua_peers_bucket(peers, peer->host) + 1 : peers->buckets; b < end; b++)
        if (*b)
            return *b;
    return NULL;
}

void mqlua_peers_free(mqlua_peers *peers)
{
    free(peers->buckets);
    *peers = (mqlua_peers){0};
}
