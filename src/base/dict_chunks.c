/* SPDX-License-Identifier: MIT */

/* Chunks of a dictionary: free ones, making room, and the bytes of entries that lie across them. */

#include "base/dict_internal.h"

#include <string.h>

/* Chunks that a shard asks the pool for at once, and free ones that it keeps at most. */
enum { BATCH = 16, KEPT = 64 };

/* Buckets to look at for expired entries where nothing else may go. */
enum { SAFE_SWEEP = 64 * MQLUA_DICT_SWEEP };

/* ---- free chunks ---- */

/* One from the pool, whose lock is held. 0: none is left. */
static chunk_id pool_take(mqlua_dict *dict)
{
    if (dict->out >= atomic_load_explicit(&dict->limit, memory_order_relaxed))
        return 0;
    chunk_id id = dict->free;
    if (id) {
        dict->free = low(word_get(dict, id, 0));
        dict->free_count--;
    } else {
        id = dict->fresh++;
    }
    dict->out++;
    return id;
}

static void pool_give(mqlua_dict *dict, chunk_id id)
{
    word_set(dict, id, 0, dict->free);
    dict->free = id;
    dict->free_count++;
    dict->out--;
}

/* Fills the shard's stash up to count, as far as the pool can. */
static void refill(mqlua_dict *dict, dict_shard *shard, uint32_t count)
{
    uint32_t want = count > BATCH ? count : BATCH;
    pthread_mutex_lock(&dict->lock);
    while (shard->stashed < want) {
        chunk_id id = pool_take(dict);
        if (!id)
            break;
        word_set(dict, id, 0, shard->stash);
        shard->stash = id;
        shard->stashed++;
    }
    pthread_mutex_unlock(&dict->lock);
}

static chunk_id unstash_one(mqlua_dict *dict, dict_shard *shard)
{
    chunk_id id = shard->stash;
    shard->stash = low(word_get(dict, id, 0));
    shard->stashed--;
    return id;
}

static void return_to_pool(mqlua_dict *dict, dict_shard *shard, uint32_t keep)
{
    if (shard->stashed <= keep)
        return;
    pthread_mutex_lock(&dict->lock);
    while (shard->stashed > keep)
        pool_give(dict, unstash_one(dict, shard));
    pthread_mutex_unlock(&dict->lock);
}

void mqlua_dict_unstash(mqlua_dict *dict, dict_shard *shard)
{
    return_to_pool(dict, shard, 0);
}

static void count_used(dict_shard *shard, int64_t change)
{
    size_t used = atomic_load_explicit(&shard->used, memory_order_relaxed);
    atomic_store_explicit(&shard->used, used + (size_t)change, memory_order_relaxed);
}

chunk_id mqlua_dict_take(mqlua_dict *dict, dict_shard *shard, uint32_t count)
{
    if (shard->stashed < count)
        refill(dict, shard, count);
    if (shard->stashed < count)
        return 0;
    chunk_id first = 0;
    for (uint32_t i = 0; i < count; i++) {
        chunk_id id = unstash_one(dict, shard);
        word_set(dict, id, 0, first);
        first = id;
    }
    count_used(shard, count);
    return first;
}

void mqlua_dict_give(mqlua_dict *dict, dict_shard *shard, chunk_id id)
{
    word_set(dict, id, 0, shard->stash);
    shard->stash = id;
    shard->stashed++;
    count_used(shard, -1);
    if (shard->stashed > KEPT)
        return_to_pool(dict, shard, KEPT / 2);
}

/* ---- making room ---- */

static void remove_counted(mqlua_dict *dict, dict_shard *shard, chunk_id entry, atomic_uint_fast64_t *count)
{
    mqlua_dict_write_begin(shard);
    mqlua_dict_remove(dict, shard, entry);
    mqlua_dict_write_end(shard);
    mqlua_dict_count(count);
}

/* Removes what has expired in the next look buckets after the shard's hand. */
static void sweep(mqlua_dict *dict, dict_shard *shard, chunk_id spare, uint32_t look)
{
    uint32_t mask = atomic_load_explicit(&shard->mask, memory_order_relaxed);
    if (look > mask)
        look = mask + 1;
    for (uint32_t i = 0; i < look; i++) {
        chunk_id entry = shard->buckets[shard->hand++ & mask];
        for (chunk_id next; entry; entry = next) {
            next = low(word_get(dict, entry, W_BUCKET));
            if (entry != spare && mqlua_dict_has_expired(dict, entry))
                remove_counted(dict, shard, entry, &shard->expired);
        }
    }
}

/* The entry to go next: written least recently, neither spared nor pinned. 0: there is none. */
static chunk_id choose(mqlua_dict *dict, dict_shard *shard, chunk_id spare)
{
    /* twice around, since the first time may find that all of them were read; where very many are pinned,
     * others are looked for again the next time, from where this one ended */
    size_t left = 2 * atomic_load_explicit(&shard->entries, memory_order_relaxed);
    left = left < 10 * MQLUA_DICT_SPARED ? left : 10 * MQLUA_DICT_SPARED;
    for (unsigned spared = 0; shard->oldest && left--;) {
        chunk_id entry = shard->oldest;
        if (entry != spare && mqlua_dict_has_expired(dict, entry))
            return entry;
        bool pinned = entry == spare || (word_get(dict, entry, W_TYPE) & PINNED);
        bool read = atomic_load_explicit(&dict->marks[entry], memory_order_relaxed);
        if (!pinned && (!read || spared >= MQLUA_DICT_SPARED))
            return entry;
        spared += !pinned;
        atomic_store_explicit(&dict->marks[entry], 0, memory_order_relaxed);
        mqlua_dict_order_remove(dict, shard, entry);
        mqlua_dict_order_add(dict, shard, entry);
    }
    return 0;
}

bool mqlua_dict_make_room(mqlua_dict *dict, dict_shard *shard, uint32_t count, bool safe, chunk_id spare,
                          bool *forced)
{
    if (shard->stashed < count)
        refill(dict, shard, count);
    if (shard->stashed < count)
        sweep(dict, shard, spare, safe ? SAFE_SWEEP : MQLUA_DICT_SWEEP);
    while (shard->stashed < count) {
        chunk_id entry = safe ? 0 : choose(dict, shard, spare);
        if (!entry)
            return false;
        bool expired = mqlua_dict_has_expired(dict, entry);
        *forced |= !expired;
        remove_counted(dict, shard, entry, expired ? &shard->expired : &shard->evicted);
        /* a large entry may have gone to the pool in part */
        if (shard->stashed < count)
            refill(dict, shard, count);
    }
    return true;
}

void mqlua_dict_make_room_elsewhere(mqlua_dict *dict, const dict_shard *but, uint32_t count, bool safe,
                                    bool *forced)
{
    uint32_t limit = atomic_load_explicit(&dict->limit, memory_order_relaxed);
    for (unsigned i = 0; i < dict->shards; i++) {
        dict_shard *shard = &dict->shard[((unsigned)(but - dict->shard) + 1 + i) % dict->shards];
        if (shard == but)
            continue;
        pthread_mutex_lock(&shard->lock);
        mqlua_dict_make_room(dict, shard, count, safe, 0, forced);
        mqlua_dict_unstash(dict, shard);
        pthread_mutex_unlock(&shard->lock);
        pthread_mutex_lock(&dict->lock);
        bool enough = limit - (dict->out < limit ? dict->out : limit) >= count;
        pthread_mutex_unlock(&dict->lock);
        if (enough)
            return;
    }
}

/* ---- bytes across chunks ---- */

typedef struct cursor {
    const mqlua_dict *dict;
    chunk_id id;
    unsigned word; /* in the chunk */
    unsigned chain;
    bool head;
} cursor;

/* The next chunk; false when there is none, or no such chunk. */
static bool follow(cursor *at)
{
    uint64_t link = word_get(at->dict, at->id, at->head ? at->chain : 0);
    chunk_id next = at->head ? high(link) : low(link);
    if (!next || next >= at->dict->most)
        return false;
    at->id = next;
    at->word = TAIL_WORDS;
    at->head = false;
    return true;
}

/* The end of a chunk is a place: who reads on from there follows the chain first. */
static bool seek(cursor *at, const mqlua_dict *dict, chunk_id id, unsigned first, unsigned chain,
                 uint32_t word)
{
    *at = (cursor){dict, id, first, chain, true};
    while (word > CHUNK_WORDS - at->word) {
        word -= CHUNK_WORDS - at->word;
        if (!follow(at))
            return false;
    }
    at->word += word;
    return true;
}

void mqlua_dict_write(mqlua_dict *dict, chunk_id id, unsigned first, unsigned chain, uint32_t word,
                      const char *bytes, size_t size)
{
    cursor at;
    seek(&at, dict, id, first, chain, word);
    while (size) {
        if (at.word == CHUNK_WORDS)
            follow(&at);
        size_t part = size < 8 ? size : 8;
        uint64_t value = 0;
        memcpy(&value, bytes, part);
        word_set(dict, at.id, at.word++, value);
        bytes += part;
        size -= part;
    }
}

bool mqlua_dict_read(const mqlua_dict *dict, chunk_id id, unsigned first, unsigned chain, uint32_t word,
                     char *bytes, size_t size)
{
    cursor at;
    if (!seek(&at, dict, id, first, chain, word))
        return false;
    while (size) {
        if (at.word == CHUNK_WORDS && !follow(&at))
            return false;
        size_t part = size < 8 ? size : 8;
        uint64_t value = word_get(dict, at.id, at.word++);
        memcpy(bytes, &value, part);
        bytes += part;
        size -= part;
    }
    return true;
}

bool mqlua_dict_same(const mqlua_dict *dict, chunk_id id, unsigned first, unsigned chain, uint32_t word,
                     const char *bytes, size_t size)
{
    cursor at;
    if (!seek(&at, dict, id, first, chain, word))
        return false;
    while (size) {
        if (at.word == CHUNK_WORDS && !follow(&at))
            return false;
        size_t part = size < 8 ? size : 8;
        uint64_t value = 0;
        memcpy(&value, bytes, part);
        if (word_get(dict, at.id, at.word++) != value)
            return false;
        bytes += part;
        size -= part;
    }
    return true;
}
