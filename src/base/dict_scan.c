/* SPDX-License-Identifier: MIT */

/* What looks at all of a dictionary. Locks are kept for a slice of a shard at a time. */

#include "base/dict_internal.h"

#include <stdlib.h>
#include <string.h>

enum { SLICE = 512 }; /* buckets for which a lock is kept */

static bool scan_slice(mqlua_dict *dict, dict_shard *shard, uint32_t from, dict_visitor visit, void *ud)
{
    uint32_t mask = atomic_load_explicit(&shard->mask, memory_order_relaxed);
    for (uint32_t i = from; i < from + SLICE && i <= mask; i++)
        for (chunk_id entry = shard->buckets[i], next; entry; entry = next) {
            next = low(word_get(dict, entry, W_BUCKET));
            if (!visit(dict, shard, entry, ud))
                return false;
        }
    return true;
}

void mqlua_dict_scan(mqlua_dict *dict, dict_visitor visit, bool (*between)(void *ud), void *ud)
{
    bool more = true;
    for (unsigned i = 0; i < dict->shards && more; i++) {
        dict_shard *shard = &dict->shard[i];
        for (uint32_t from = 0; more && from <= atomic_load_explicit(&shard->mask, memory_order_relaxed);
             from += SLICE) {
            pthread_mutex_lock(&shard->lock);
            more = scan_slice(dict, shard, from, visit, ud);
            pthread_mutex_unlock(&shard->lock);
            if (more && between)
                more = between(ud);
        }
    }
}

/* ---- keys ---- */

typedef struct collection {
    char *keys;
    size_t size, room, count, most;
    bool failed;
} collection;

static bool collect(mqlua_dict *dict, dict_shard *shard, chunk_id entry, void *ud)
{
    collection *c = ud;
    if (mqlua_dict_has_expired(dict, entry))
        return true;
    size_t key_size = low(word_get(dict, entry, W_SIZES)), want = c->size + sizeof key_size + key_size;
    if (want > c->room) {
        size_t room = want + want / 2 + 1024;
        char *keys = realloc(c->keys, room);
        c->failed = !keys;
        if (!keys)
            return false;
        c->keys = keys;
        c->room = room;
    }
    memcpy(c->keys + c->size, &key_size, sizeof key_size);
    mqlua_dict_read(dict, entry, HEAD_WORDS, W_CHAIN, 0, c->keys + c->size + sizeof key_size, key_size);
    c->size = want;
    return ++c->count != c->most;
}

bool mqlua_dict_keys(mqlua_dict *dict, size_t most, char **keys, size_t *count)
{
    collection c = {.most = most};
    mqlua_dict_scan(dict, collect, NULL, &c);
    if (c.failed) {
        free(c.keys);
        return false;
    }
    *keys = c.keys;
    *count = c.count;
    return true;
}

/* ---- expiry ---- */

static bool expire(mqlua_dict *dict, dict_shard *shard, chunk_id entry, void *ud)
{
    uint64_t type = word_get(dict, entry, W_TYPE) & TYPE_MASK;
    mqlua_dict_write_begin(shard);
    word_set(dict, entry, W_TYPE, (uint64_t)1 << 8 | type);
    mqlua_dict_write_end(shard);
    mqlua_dict_count(&shard->stored);
    return true;
}

void mqlua_dict_flush(mqlua_dict *dict)
{
    mqlua_dict_scan(dict, expire, NULL, NULL);
}

typedef struct sweeping {
    size_t most, count;
} sweeping;

static bool sweep(mqlua_dict *dict, dict_shard *shard, chunk_id entry, void *ud)
{
    sweeping *s = ud;
    if (!mqlua_dict_has_expired(dict, entry))
        return true;
    mqlua_dict_write_begin(shard);
    mqlua_dict_remove(dict, shard, entry);
    mqlua_dict_write_end(shard);
    mqlua_dict_count(&shard->expired);
    return ++s->count != s->most;
}

size_t mqlua_dict_sweep(mqlua_dict *dict, size_t most)
{
    sweeping s = {most, 0};
    mqlua_dict_scan(dict, sweep, NULL, &s);
    return s.count;
}

/* ---- another capacity ---- */

/* More buckets: each is split into itself and those that the wider mask tells apart. */
static void widen(mqlua_dict *dict, dict_shard *shard, uint32_t buckets)
{
    uint32_t before = atomic_load_explicit(&shard->mask, memory_order_relaxed) + 1;
    pthread_mutex_lock(&shard->lock);
    mqlua_dict_write_begin(shard);
    atomic_store_explicit(&shard->mask, buckets - 1, memory_order_release);
    for (uint32_t i = 0; i < before; i++) {
        chunk_id entry = shard->buckets[i];
        atomic_store_explicit(&shard->buckets[i], 0, memory_order_release);
        for (chunk_id next; entry; entry = next) {
            uint64_t word = word_get(dict, entry, W_BUCKET);
            next = low(word);
            _Atomic chunk_id *bucket = &shard->buckets[high(word) & (buckets - 1)];
            word_set(dict, entry, W_BUCKET,
                     pair(high(word), atomic_load_explicit(bucket, memory_order_relaxed)));
            atomic_store_explicit(bucket, entry, memory_order_release);
        }
    }
    mqlua_dict_write_end(shard);
    pthread_mutex_unlock(&shard->lock);
}

static uint32_t chunks_out(mqlua_dict *dict)
{
    pthread_mutex_lock(&dict->lock);
    uint32_t out = dict->out;
    pthread_mutex_unlock(&dict->lock);
    return out;
}

/* Takes what is too much from the shards in turn. False: what never goes is too much. */
static bool shrink(mqlua_dict *dict, uint32_t limit)
{
    for (unsigned idle = 0, i = 0; chunks_out(dict) > limit; i = (i + 1) % dict->shards) {
        dict_shard *shard = &dict->shard[i];
        bool forced = false;
        pthread_mutex_lock(&shard->lock);
        /* the pool gives nothing out beyond its limit, so room is what entries leave */
        bool some = shard->stashed || mqlua_dict_make_room(dict, shard, 1, false, 0, &forced);
        mqlua_dict_unstash(dict, shard);
        pthread_mutex_unlock(&shard->lock);
        idle = some ? 0 : idle + 1;
        if (idle == dict->shards)
            return false;
    }
    return true;
}

bool mqlua_dict_resize(mqlua_dict *dict, size_t capacity)
{
    capacity = capacity < MQLUA_DICT_LEAST ? MQLUA_DICT_LEAST : capacity;
    size_t chunks = capacity / MQLUA_DICT_CHUNK_COST;
    if (chunks >= dict->most)
        return false;
    uint32_t before = atomic_load(&dict->limit);
    atomic_store(&dict->limit, (uint32_t)chunks);
    if (!shrink(dict, (uint32_t)chunks)) {
        atomic_store(&dict->limit, before);
        return false;
    }
    uint32_t buckets = mqlua_dict_buckets_for(dict, (uint32_t)chunks);
    for (unsigned i = 0; i < dict->shards; i++)
        if (buckets > atomic_load_explicit(&dict->shard[i].mask, memory_order_relaxed) + 1)
            widen(dict, &dict->shard[i], buckets);
    atomic_store(&dict->capacity, capacity);
    return true;
}

/* ---- figures ---- */

void mqlua_dict_get_stats(mqlua_dict *dict, mqlua_dict_stats *stats)
{
    *stats = (mqlua_dict_stats){.capacity = atomic_load(&dict->capacity)};
    for (unsigned i = 0; i < dict->shards; i++) {
        dict_shard *shard = &dict->shard[i];
        stats->entries += atomic_load_explicit(&shard->entries, memory_order_relaxed);
        stats->used += atomic_load_explicit(&shard->used, memory_order_relaxed) * MQLUA_DICT_CHUNK_COST;
        stats->stored += atomic_load_explicit(&shard->stored, memory_order_relaxed);
        stats->evicted += atomic_load_explicit(&shard->evicted, memory_order_relaxed);
        stats->expired += atomic_load_explicit(&shard->expired, memory_order_relaxed);
        stats->refused += atomic_load_explicit(&shard->refused, memory_order_relaxed);
    }
    stats->changes = stats->stored + stats->evicted + stats->expired;
    for (unsigned i = 0; i < MQLUA_DICT_READERS; i++) {
        stats->hits += atomic_load_explicit(&dict->readers[i].hits, memory_order_relaxed);
        stats->misses += atomic_load_explicit(&dict->readers[i].misses, memory_order_relaxed);
    }
}
