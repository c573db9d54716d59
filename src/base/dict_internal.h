/* SPDX-License-Identifier: MIT */
#pragma once

/* The inside of a dictionary, shared by the files dict*.c. */

#include "base/dict.h"

#include <pthread.h>
#include <stdatomic.h>

/*
 * Chunks are known by their number; 0 is none. All words of a chunk are atomic, because readers look at
 * chunks that writers are changing; what they saw then is thrown away.
 */
typedef uint32_t chunk_id;
enum { CHUNK_WORDS = 8, HEAD_WORDS = 6, NODE_WORDS = 4, TAIL_WORDS = 1 };
typedef struct chunk {
    _Atomic uint64_t words[CHUNK_WORDS];
} chunk;

/*
 * The first chunk of an entry, by word:
 *   0  hash | next entry of the bucket
 *   1  next chunk of the entry | entry written after this one
 *   2  entry written before this one | flags
 *   3  expiry in milliseconds, 0: never, shifted by 8 | PINNED | type
 *   4  size of the text, or length of the list | size of the key
 *   5  number, integer or boolean; of a list: first node | last node
 *   6, 7  key, then text
 * A further chunk: word 0 is the next chunk, 1 to 7 go on with key and text.
 * The first chunk of a list's node: word 0 next node | node before, 1 next chunk | type, 2 size of the text,
 * 3 number or integer, 4 to 7 text.
 */
enum { W_BUCKET, W_CHAIN, W_ORDER, W_TYPE, W_SIZES, W_NUMBER };
enum { N_LINKS, N_CHAIN, N_SIZE, N_NUMBER };
enum { TYPE_MASK = 0x0f, PINNED = 0x10 };

static inline uint64_t pair(uint32_t high, uint32_t low)
{
    return (uint64_t)high << 32 | low;
}
static inline uint32_t high(uint64_t word)
{
    return (uint32_t)(word >> 32);
}
static inline uint32_t low(uint64_t word)
{
    return (uint32_t)word;
}

typedef struct dict_shard {
    /* what writers touch */
    _Alignas(64) pthread_mutex_t lock;
    chunk_id newest, oldest; /* by last write */
    chunk_id stash;          /* free chunks, by word 0 */
    uint32_t stashed;
    uint32_t hand; /* the bucket where the next sweep begins */
    /* written with the lock held, read without */
    atomic_size_t entries, used; /* used: chunks */
    atomic_uint_fast64_t stored, evicted, expired, refused;
    /* what readers read */
    _Alignas(64) _Atomic uint64_t sequence; /* odd: a writer is at work */
    _Atomic uint32_t mask;                  /* buckets - 1 */
    _Atomic chunk_id *buckets;
} dict_shard;

typedef struct dict_reader {
    _Alignas(64) atomic_uint_fast64_t hits, misses;
} dict_reader;

struct mqlua_dict {
    chunk *chunks;
    _Atomic uint8_t *marks; /* for each chunk: this entry was read since it was last spared */
    _Atomic chunk_id *index;
    size_t chunks_bytes, marks_bytes, index_bytes; /* of the three mappings */
    uint32_t most;                                 /* chunks that there is address space for, 0 included */
    uint64_t seed;
    unsigned shards, shard_bits;
    uint64_t (*clock)(void *ud);
    void *clock_ud;

    /* the pool of free chunks, which shards take from in batches; its lock comes after a shard's */
    _Alignas(64) pthread_mutex_t lock;
    chunk_id free; /* by word 0 */
    uint32_t free_count;
    uint32_t fresh;         /* chunks from here on were never used */
    uint32_t out;           /* chunks that are not in the pool */
    _Atomic uint32_t limit; /* of them, by the capacity */
    atomic_size_t capacity;

    dict_shard *shard;
    dict_reader readers[MQLUA_DICT_READERS];
};

static inline uint64_t word_get(const mqlua_dict *dict, chunk_id id, unsigned word)
{
    return atomic_load_explicit(&dict->chunks[id].words[word], memory_order_acquire);
}
static inline void word_set(mqlua_dict *dict, chunk_id id, unsigned word, uint64_t value)
{
    atomic_store_explicit(&dict->chunks[id].words[word], value, memory_order_release);
}

static inline uint32_t words_of(size_t bytes)
{
    return (uint32_t)((bytes + 7) / 8);
}

/* A key, with where it belongs. */
typedef struct dict_key {
    const char *text;
    size_t size;
    uint32_t hash;
    dict_shard *shard;
} dict_key;
dict_key mqlua_dict_key(const mqlua_dict *dict, const char *text, size_t size);

/* ---- dict_chunks.c: with the shard's lock held, unless it says otherwise ---- */

/* Chunks for words behind a first chunk with room for first of them. */
static inline uint32_t mqlua_dict_chunks_for(uint32_t words, uint32_t first)
{
    uint32_t rest = words > first ? words - first : 0;
    return 1 + (rest + CHUNK_WORDS - TAIL_WORDS - 1) / (CHUNK_WORDS - TAIL_WORDS);
}

/* A chain of count chunks, linked by word 0, from the free ones. 0: there are not enough. */
chunk_id mqlua_dict_take(mqlua_dict *dict, dict_shard *shard, uint32_t count);
/* Gives one chunk back. */
void mqlua_dict_give(mqlua_dict *dict, dict_shard *shard, chunk_id id);
/* Gives back what the shard keeps free, so that others find it. */
void mqlua_dict_unstash(mqlua_dict *dict, dict_shard *shard);

/* Makes room for count chunks in this shard: expired entries, then (unless safe) others; never the entry
 * spare. *forced is set when one of those goes. False: not enough. */
bool mqlua_dict_make_room(mqlua_dict *dict, dict_shard *shard, uint32_t count, bool safe, chunk_id spare,
                          bool *forced);
/* The same in the other shards, one after the other, into the pool. No lock is held. */
void mqlua_dict_make_room_elsewhere(mqlua_dict *dict, const dict_shard *but, uint32_t count, bool safe,
                                    bool *forced);

/* Copies size bytes to, or from, the words that begin word words after the beginning of the payload. id is
 * the first chunk, whose payload begins at word first and whose next chunk is the high half of word chain. */
void mqlua_dict_write(mqlua_dict *dict, chunk_id id, unsigned first, unsigned chain, uint32_t word,
                      const char *bytes, size_t size);
/* False: the chain is broken, which a reader without lock sees when it is being changed. */
bool mqlua_dict_read(const mqlua_dict *dict, chunk_id id, unsigned first, unsigned chain, uint32_t word,
                     char *bytes, size_t size);
/* Whether the size bytes there are those. */
bool mqlua_dict_same(const mqlua_dict *dict, chunk_id id, unsigned first, unsigned chain, uint32_t word,
                     const char *bytes, size_t size);

/* ---- dict.c: entries; with the shard's lock held ---- */

/* Between the two, readers of the shard wait. */
void mqlua_dict_write_begin(dict_shard *shard);
void mqlua_dict_write_end(dict_shard *shard);

/* Buckets that a shard has for a dictionary of so many chunks. */
uint32_t mqlua_dict_buckets_for(const mqlua_dict *dict, uint32_t chunks);

/* When an entry with ttl milliseconds to live expires; 0: never. */
uint64_t mqlua_dict_expiry_of(const mqlua_dict *dict, uint64_t ttl);

/* False: no memory. */
bool mqlua_dict_scratch_grow(mqlua_dict_scratch *scratch, size_t size);

/* One more of what a shard counts. */
static inline void mqlua_dict_count(atomic_uint_fast64_t *count)
{
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1, memory_order_relaxed);
}

chunk_id mqlua_dict_find(const mqlua_dict *dict, const dict_key *key);
uint64_t mqlua_dict_now(const mqlua_dict *dict);
bool mqlua_dict_has_expired(const mqlua_dict *dict, chunk_id entry);
static inline uint64_t mqlua_dict_expiry(const mqlua_dict *dict, chunk_id entry)
{
    return word_get(dict, entry, W_TYPE) >> 8;
}
static inline mqlua_dict_type mqlua_dict_type_of(const mqlua_dict *dict, chunk_id entry)
{
    return (mqlua_dict_type)(word_get(dict, entry, W_TYPE) & TYPE_MASK);
}

/* The order by last write. */
void mqlua_dict_order_add(mqlua_dict *dict, dict_shard *shard, chunk_id entry);
void mqlua_dict_order_remove(mqlua_dict *dict, dict_shard *shard, chunk_id entry);

/* Takes the entry out of bucket and order and gives its chunks back. Between write_begin and write_end. */
void mqlua_dict_remove(mqlua_dict *dict, dict_shard *shard, chunk_id entry);

#define MQLUA_DICT_RETRY UINT32_MAX

/* A chain of count chunks, whatever has to go for it. 0: there is no room. MQLUA_DICT_RETRY: the lock was
 * given up to make room in other shards; the caller looks for its key again. *tries begins at 0. Outside of
 * write_begin. */
chunk_id mqlua_dict_obtain(mqlua_dict *dict, dict_shard *shard, uint32_t count, bool safe, chunk_id spare,
                           bool *forced, int *tries);

/* A new entry without a value, in bucket and order, of count chunks. 0: there is no room. MQLUA_DICT_RETRY:
 * the lock was given up to make room in other shards; the caller looks for the key again. *tries begins at 0.
 * Outside of write_begin. */
chunk_id mqlua_dict_insert(mqlua_dict *dict, const dict_key *key, uint32_t count, bool safe, bool *forced,
                           int *tries);

/* dict_list.c: gives the nodes of a list back. Between write_begin and write_end. */
void mqlua_dict_list_clear(mqlua_dict *dict, dict_shard *shard, chunk_id entry);

/* dict_scan.c: visits all entries, slice after slice: visit with the shard's lock held, between (may be NULL)
 * without a lock after each slice. False of either ends the scan. */
typedef bool (*dict_visitor)(mqlua_dict *dict, dict_shard *shard, chunk_id entry, void *ud);
void mqlua_dict_scan(mqlua_dict *dict, dict_visitor visit, bool (*between)(void *ud), void *ud);
