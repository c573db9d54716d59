/* SPDX-License-Identifier: MIT */

#include "plugin/clients.h"
#include "mq/loop.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { PROBES = 16 };
static const double RECENT_SECONDS = 3600;

mqlua_clients *mqlua_clients_new(void)
{
    mqlua_clients *clients = calloc(1, sizeof *clients);
    if (clients && pthread_mutex_init(&clients->lock, NULL) == 0)
        return clients;
    free(clients);
    return NULL;
}

void mqlua_clients_free(mqlua_clients *clients)
{
    if (!clients)
        return;
    pthread_mutex_destroy(&clients->lock);
    free(clients);
}

void mqlua_clients_watch(mqlua_clients *clients, uint64_t generation)
{
    atomic_store(&clients->generation, generation);
}

/* Not 0. Addresses of IPv4 inside IPv6 are those of IPv4. */
static uint64_t key_of(const char *ip)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    unsigned char bytes[16] = {0};
    size_t size = 0;
    if (inet_pton(AF_INET, ip, bytes) == 1)
        size = 4;
    else if (inet_pton(AF_INET6, ip, bytes) == 1)
        size = 8;
    if (size == 8 && memcmp(bytes, mapped, sizeof mapped) == 0) {
        memmove(bytes, bytes + sizeof mapped, 4);
        size = 4;
    }
    return XXH3_64bits_withSeed(bytes, size, size) | 1;
}

/* The client's place, or one that it may take: free, or of an earlier trial and seen longest ago. NULL: none.
 */
static mqlua_client *place_of(mqlua_clients *clients, uint64_t key, uint64_t generation)
{
    mqlua_client *best = NULL;
    for (size_t i = 0; i < PROBES; i++) {
        mqlua_client *client = &clients->list[((key >> 1) + i) % MQLUA_CLIENTS];
        if (client->key == key)
            return client;
        if (client->generation != generation && (!best || client->seen < best->seen))
            best = client;
    }
    return best;
}

void mqlua_clients_note(mqlua_clients *clients, uint64_t generation, const char *ip, bool began, bool failed)
{
    if (atomic_load_explicit(&clients->generation, memory_order_relaxed) != generation)
        return;
    uint64_t key = key_of(ip);
    double now = mqlua_loop_now();
    pthread_mutex_lock(&clients->lock);
    mqlua_client *client = place_of(clients, key, generation);
    if (client && (client->key != key || client->generation != generation))
        *client = (mqlua_client){.key = key, .generation = generation};
    if (client) {
        client->seen = now;
        client->transactions += began;
        client->failures += failed;
    }
    pthread_mutex_unlock(&clients->lock);
}

void mqlua_clients_copy(mqlua_clients *clients, mqlua_client *list)
{
    pthread_mutex_lock(&clients->lock);
    memcpy(list, clients->list, sizeof clients->list);
    pthread_mutex_unlock(&clients->lock);
}

/* A client keeps its place during a trial: the same place of base has what it had then. */
static mqlua_client since(const mqlua_client *client, const mqlua_client *base)
{
    mqlua_client difference = *client;
    if (base && base->key == client->key && base->generation == client->generation) {
        difference.transactions -= base->transactions;
        difference.failures -= base->failures;
    }
    return difference;
}

mqlua_fate mqlua_clients_fate(const mqlua_client *list, const mqlua_client *base, uint64_t generation,
                              double now)
{
    mqlua_fate fate = {0};
    mqlua_client worst = {0};
    int recent = 0;
    for (size_t i = 0; i < MQLUA_CLIENTS; i++) {
        recent += list[i].key && list[i].seen > now - RECENT_SECONDS;
        if (list[i].generation != generation)
            continue;
        mqlua_client client = since(&list[i], base ? &base[i] : NULL);
        fate.clients += client.transactions > 0;
        fate.failing += client.failures > 0;
        fate.transactions += client.transactions;
        fate.failures += client.failures;
        if (client.failures > worst.failures)
            worst = client;
    }
    fate.transactions -= worst.transactions;
    fate.failures -= worst.failures;
    fate.several = recent > 1;
    return fate;
}
