/* SPDX-License-Identifier: MIT */

#include "base/dict_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* ---- life ---- */

uint64_t mqlua_dict_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t system_clock(void *ud)
{
    return mqlua_dict_clock();
}

void mqlua_dict_set_clock(mqlua_dict *dict, uint64_t (*clock)(void *ud), void *ud)
{
    dict->clock = clock;
    dict->clock_ud = ud;
}

uint64_t mqlua_dict_now(const mqlua_dict *dict)
{
    return dict->clock(dict->clock_ud);
}

/* Zeroed address space that takes memory when it is first written to. NULL: there is none. */
static void *reserve(size_t bytes)
{
    void *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void release(void *memory, size_t bytes)
{
    if (memory)
        munmap(memory, bytes);
}

static bool reserve_all(mqlua_dict *dict)
{
    dict->chunks_bytes = (size_t)dict->most * sizeof(chunk);
    dict->marks_bytes = dict->most;
    dict->index_bytes = (size_t)dict->most * sizeof(chunk_id);
    dict->chunks = reserve(dict->chunks_bytes);
    dict->marks = reserve(dict->marks_bytes);
    dict->index = reserve(dict->index_bytes);
    return dict->chunks && dict->marks && dict->index;
}

/* Few shards in a small dictionary: the order in which entries go is that of a shard. */
static unsigned bits_for(size_t capacity)
{
    return capacity < 1 << 20 ? 0 : capacity < 16 << 20 ? 4 : 6;
}

/* The largest power of two up to number, at least 1. */
static uint32_t power_below(uint32_t number)
{
    uint32_t power = 1;
    while (power <= number / 2)
        power *= 2;
    return power;
}

uint32_t mqlua_dict_buckets_for(const mqlua_dict *dict, uint32_t chunks)
{
    return power_below(chunks / dict->shards);
}

static bool open_shards(mqlua_dict *dict)
{
    dict->shard = aligned_alloc(64, dict->shards * sizeof(dict_shard));
    if (!dict->shard)
        return false;
    memset(dict->shard, 0, dict->shards * sizeof(dict_shard));
    uint32_t each = dict->most / dict->shards;
    for (unsigned i = 0; i < dict->shards; i++) {
        dict_shard *shard = &dict->shard[i];
        pthread_mutex_init(&shard->lock, NULL);
        shard->buckets = dict->index + (size_t)i * each;
        atomic_store(&shard->mask, mqlua_dict_buckets_for(dict, dict->limit) - 1);
    }
    return true;
}

mqlua_dict *mqlua_dict_new(size_t capacity, size_t most)
{
    mqlua_dict *dict = aligned_alloc(64, sizeof *dict);
    if (!dict)
        return NULL;
    memset(dict, 0, sizeof *dict);
    capacity = capacity < MQLUA_DICT_LEAST ? MQLUA_DICT_LEAST : capacity;
    most = most < capacity ? capacity : most;
    size_t chunks = most / MQLUA_DICT_CHUNK_COST;
    dict->most = chunks < UINT32_MAX - 2 ? (uint32_t)chunks + 1 : UINT32_MAX - 2;
    dict->shard_bits = bits_for(capacity);
    dict->shards = 1U << dict->shard_bits;
    dict->fresh = 1;
    chunks = capacity / MQLUA_DICT_CHUNK_COST;
    atomic_store(&dict->limit, chunks < dict->most ? (uint32_t)chunks : dict->most - 1);
    atomic_store(&dict->capacity, capacity);
    dict->clock = system_clock;
    /* who can choose keys must not be able to choose their places */
    if (getrandom(&dict->seed, sizeof dict->seed, GRND_NONBLOCK) != (ssize_t)sizeof dict->seed)
        dict->seed = mqlua_dict_clock() ^ (uint64_t)(uintptr_t)dict;
    pthread_mutex_init(&dict->lock, NULL);
    if (reserve_all(dict) && open_shards(dict))
        return dict;
    mqlua_dict_free(dict);
    return NULL;
}

void mqlua_dict_free(mqlua_dict *dict)
{
    if (!dict)
        return;
    for (unsigned i = 0; dict->shard && i < dict->shards; i++)
        pthread_mutex_destroy(&dict->shard[i].lock);
    free(dict->shard);
    release(dict->chunks, dict->chunks_bytes);
    release((void *)dict->marks, dict->marks_bytes);
    release((void *)dict->index, dict->index_bytes);
    pthread_mutex_destroy(&dict->lock);
    free(dict);
}

void mqlua_dict_scratch_free(mqlua_dict_scratch *scratch)
{
    free(scratch->text);
    *scratch = (mqlua_dict_scratch){0};
}

/* ---- entries ---- */

dict_key mqlua_dict_key(const mqlua_dict *dict, const char *text, size_t size)
{
    uint64_t hash = XXH3_64bits_withSeed(text, size, dict->seed);
    unsigned shard = dict->shard_bits ? (unsigned)(hash >> (64 - dict->shard_bits)) : 0;
    return (dict_key){text, size, (uint32_t)hash, &dict->shard[shard]};
}

void mqlua_dict_write_begin(dict_shard *shard)
{
    uint64_t sequence = atomic_load_explicit(&shard->sequence, memory_order_relaxed);
    atomic_store_explicit(&shard->sequence, sequence + 1, memory_order_relaxed);
}

void mqlua_dict_write_end(dict_shard *shard)
{
    uint64_t sequence = atomic_load_explicit(&shard->sequence, memory_order_relaxed);
    atomic_store_explicit(&shard->sequence, sequence + 1, memory_order_release);
}

static _Atomic chunk_id *bucket_of(const dict_shard *shard, uint32_t hash)
{
    return &shard->buckets[hash & atomic_load_explicit(&shard->mask, memory_order_acquire)];
}

/* Without the lock, too: then what it says holds only if the shard did not change meanwhile. */
chunk_id mqlua_dict_find(const mqlua_dict *dict, const dict_key *key)
{
    chunk_id entry = atomic_load_explicit(bucket_of(key->shard, key->hash), memory_order_acquire);
    for (uint32_t steps = 0; entry && entry < dict->most && steps < dict->most; steps++) {
        uint64_t bucket = word_get(dict, entry, W_BUCKET);
        if (high(bucket) == key->hash && low(word_get(dict, entry, W_SIZES)) == key->size &&
            mqlua_dict_same(dict, entry, HEAD_WORDS, W_CHAIN, 0, key->text, key->size))
            return entry;
        entry = low(bucket);
    }
    return 0;
}

bool mqlua_dict_has_expired(const mqlua_dict *dict, chunk_id entry)
{
    uint64_t expiry = mqlua_dict_expiry(dict, entry);
    return expiry && expiry <= mqlua_dict_now(dict);
}

void mqlua_dict_order_add(mqlua_dict *dict, dict_shard *shard, chunk_id entry)
{
    chunk_id newest = shard->newest;
    word_set(dict, entry, W_CHAIN, pair(high(word_get(dict, entry, W_CHAIN)), 0));
    word_set(dict, entry, W_ORDER, pair(newest, low(word_get(dict, entry, W_ORDER))));
    if (newest)
        word_set(dict, newest, W_CHAIN, pair(high(word_get(dict, newest, W_CHAIN)), entry));
    else
        shard->oldest = entry;
    shard->newest = entry;
}

void mqlua_dict_order_remove(mqlua_dict *dict, dict_shard *shard, chunk_id entry)
{
    chunk_id newer = low(word_get(dict, entry, W_CHAIN)), older = high(word_get(dict, entry, W_ORDER));
    if (newer)
        word_set(dict, newer, W_ORDER, pair(older, low(word_get(dict, newer, W_ORDER))));
    else
        shard->newest = older;
    if (older)
        word_set(dict, older, W_CHAIN, pair(high(word_get(dict, older, W_CHAIN)), newer));
    else
        shard->oldest = newer;
}

static void count_entries(dict_shard *shard, int change)
{
    size_t entries = atomic_load_explicit(&shard->entries, memory_order_relaxed);
    atomic_store_explicit(&shard->entries, entries + (size_t)change, memory_order_relaxed);
}

/* Gives back the chunks behind the one whose link is the high half of word. */
static void give_chain(mqlua_dict *dict, dict_shard *shard, chunk_id id, unsigned word)
{
    for (chunk_id next = high(word_get(dict, id, word)); next;) {
        chunk_id following = low(word_get(dict, next, 0));
        mqlua_dict_give(dict, shard, next);
        next = following;
    }
}

void mqlua_dict_remove(mqlua_dict *dict, dict_shard *shard, chunk_id entry)
{
    uint64_t bucket = word_get(dict, entry, W_BUCKET);
    _Atomic chunk_id *first = bucket_of(shard, high(bucket));
    chunk_id at = atomic_load_explicit(first, memory_order_relaxed);
    if (at == entry)
        atomic_store_explicit(first, low(bucket), memory_order_release);
    while (at != entry) {
        uint64_t word = word_get(dict, at, W_BUCKET);
        if (low(word) == entry)
            word_set(dict, at, W_BUCKET, pair(high(word), low(bucket)));
        at = low(word);
    }
    mqlua_dict_order_remove(dict, shard, entry);
    if (mqlua_dict_type_of(dict, entry) == MQLUA_DICT_LIST)
        mqlua_dict_list_clear(dict, shard, entry);
    give_chain(dict, shard, entry, W_CHAIN);
    mqlua_dict_give(dict, shard, entry);
    count_entries(shard, -1);
}

chunk_id mqlua_dict_obtain(mqlua_dict *dict, dict_shard *shard, uint32_t count, bool safe, chunk_id spare,
                           bool *forced, int *tries)
{
    if (mqlua_dict_make_room(dict, shard, count, safe, spare, forced))
        return mqlua_dict_take(dict, shard, count);
    if (dict->shards == 1 || (*tries)++ >= 4)
        return 0;
    mqlua_dict_unstash(dict, shard); /* others could not give what is lacking in addition to it */
    pthread_mutex_unlock(&shard->lock);
    mqlua_dict_make_room_elsewhere(dict, shard, count, safe, forced);
    pthread_mutex_lock(&shard->lock);
    return MQLUA_DICT_RETRY;
}

chunk_id mqlua_dict_insert(mqlua_dict *dict, const dict_key *key, uint32_t count, bool safe, bool *forced,
                           int *tries)
{
    dict_shard *shard = key->shard;
    if (count > atomic_load_explicit(&dict->limit, memory_order_relaxed))
        return 0;
    chunk_id entry = mqlua_dict_obtain(dict, shard, count, safe, 0, forced, tries);
    if (!entry || entry == MQLUA_DICT_RETRY)
        return entry;
    mqlua_dict_write_begin(shard);
    _Atomic chunk_id *bucket = bucket_of(shard, key->hash);
    chunk_id rest = low(word_get(dict, entry, 0));
    word_set(dict, entry, W_CHAIN, pair(rest, 0));
    word_set(dict, entry, W_ORDER, 0);
    word_set(dict, entry, W_TYPE, MQLUA_DICT_NONE);
    word_set(dict, entry, W_SIZES, key->size);
    word_set(dict, entry, W_NUMBER, 0);
    mqlua_dict_write(dict, entry, HEAD_WORDS, W_CHAIN, 0, key->text, key->size);
    word_set(dict, entry, W_BUCKET, pair(key->hash, atomic_load_explicit(bucket, memory_order_relaxed)));
    atomic_store_explicit(bucket, entry, memory_order_release);
    atomic_store_explicit(&dict->marks[entry], 0, memory_order_relaxed);
    mqlua_dict_order_add(dict, shard, entry);
    count_entries(shard, 1);
    mqlua_dict_write_end(shard);
    return entry;
}
