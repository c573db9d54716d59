/* SPDX-License-Identifier: MIT */

/* Reading and writing the values of a dictionary. */

#include "base/dict_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ---- */

static uint64_t bits_of(double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

static double number_of(uint64_t bits)
{
    double number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static void value_from(mqlua_dict_value *value, mqlua_dict_type type, uint64_t bits)
{
    value->type = type;
    if (type == MQLUA_DICT_NUMBER)
        value->number = number_of(bits);
    else if (type == MQLUA_DICT_INTEGER)
        value->integer = (int64_t)bits;
    else
        value->boolean = bits != 0;
}

static uint64_t bits_from(const mqlua_dict_value *value)
{
    return value->type == MQLUA_DICT_NUMBER    ? bits_of(value->number)
           : value->type == MQLUA_DICT_INTEGER ? (uint64_t)value->integer
           : value->type == MQLUA_DICT_BOOLEAN ? value->boolean
                                               : 0;
}

bool mqlua_dict_scratch_grow(mqlua_dict_scratch *scratch, size_t size)
{
    if (size <= scratch->room)
        return true;
    char *text = realloc(scratch->text, size + size / 2 + 64);
    if (!text)
        return false;
    scratch->text = text;
    scratch->room = size + size / 2 + 64;
    return true;
}

/* What one look at the shard came to. */
typedef enum look { LOOK_DONE, LOOK_AGAIN, LOOK_GROW } look;

/* Reads the entry without a lock. AGAIN: it changed meanwhile; GROW: *size bytes are wanted in the scratch.
 */
static look look_once(const mqlua_dict *dict, const dict_key *key, const mqlua_dict_scratch *scratch,
                      mqlua_dict_found *found, uint64_t *expiry, chunk_id *entry)
{
    dict_shard *shard = key->shard;
    uint64_t before = atomic_load_explicit(&shard->sequence, memory_order_acquire);
    if (before & 1)
        return LOOK_AGAIN;
    found->value = (mqlua_dict_value){.type = MQLUA_DICT_NONE};
    *entry = mqlua_dict_find(dict, key);
    bool copied = true;
    if (*entry) {
        uint64_t type = word_get(dict, *entry, W_TYPE);
        value_from(&found->value, (mqlua_dict_type)(type & TYPE_MASK), word_get(dict, *entry, W_NUMBER));
        found->value.size = found->value.type == MQLUA_DICT_TEXT ? high(word_get(dict, *entry, W_SIZES)) : 0;
        found->flags = low(word_get(dict, *entry, W_ORDER));
        *expiry = type >> 8;
        copied = found->value.size <= scratch->room &&
                 mqlua_dict_read(dict, *entry, HEAD_WORDS, W_CHAIN, words_of(key->size), scratch->text,
                                 found->value.size);
    }
    if (atomic_load_explicit(&shard->sequence, memory_order_relaxed) != before)
        return LOOK_AGAIN;
    return copied ? LOOK_DONE : LOOK_GROW;
}

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* Looks until it is done; with the lock where writers do not let it. False: no memory for the copy. */
static bool look_at(mqlua_dict *dict, const dict_key *key, mqlua_dict_scratch *scratch,
                    mqlua_dict_found *found, uint64_t *expiry, chunk_id *entry)
{
    enum { PATIENCE = 100 };
    bool locked = false, fits = true;
    enum look seen;
    for (int tries = 0; (seen = look_once(dict, key, scratch, found, expiry, entry)) != LOOK_DONE; tries++) {
        if (seen == LOOK_GROW && !(fits = mqlua_dict_scratch_grow(scratch, found->value.size)))
            break;
        relax();
        if (tries == PATIENCE) {
            pthread_mutex_lock(&key->shard->lock);
            locked = true;
        }
    }
    if (locked)
        pthread_mutex_unlock(&key->shard->lock);
    return fits;
}

mqlua_dict_status mqlua_dict_get(mqlua_dict *dict, const char *text, size_t size, bool stale, unsigned slot,
                                 mqlua_dict_scratch *scratch, mqlua_dict_found *found)
{
    dict_key key = mqlua_dict_key(dict, text, size);
    dict_reader *reader = &dict->readers[slot % MQLUA_DICT_READERS];
    uint64_t expiry = 0;
    chunk_id entry;
    if (!look_at(dict, &key, scratch, found, &expiry, &entry))
        return MQLUA_DICT_NO_MEMORY;
    found->value.text = scratch->text;
    found->stale = entry && expiry && expiry <= mqlua_dict_now(dict);
    if (!entry || (found->stale && !stale)) {
        atomic_fetch_add_explicit(&reader->misses, 1, memory_order_relaxed);
        return MQLUA_DICT_ABSENT;
    }
    atomic_fetch_add_explicit(&reader->hits, 1, memory_order_relaxed);
    if (!atomic_load_explicit(&dict->marks[entry], memory_order_relaxed))
        atomic_store_explicit(&dict->marks[entry], 1, memory_order_relaxed);
    return found->value.type == MQLUA_DICT_LIST ? MQLUA_DICT_IS_LIST : MQLUA_DICT_OK;
}

/* ---- writing ---- */

static uint32_t chunks_for(size_t key_size, const mqlua_dict_value *value)
{
    uint32_t words = words_of(key_size) + (value->type == MQLUA_DICT_TEXT ? words_of(value->size) : 0);
    return mqlua_dict_chunks_for(words, CHUNK_WORDS - HEAD_WORDS);
}

static uint32_t chunks_of(const mqlua_dict *dict, chunk_id entry)
{
    uint64_t sizes = word_get(dict, entry, W_SIZES);
    uint32_t text = mqlua_dict_type_of(dict, entry) == MQLUA_DICT_TEXT ? high(sizes) : 0;
    return mqlua_dict_chunks_for(words_of(low(sizes)) + words_of(text), CHUNK_WORDS - HEAD_WORDS);
}

/* Makes the entry's chain one of want chunks, from have; more is a chain of the chunks that are lacking.
 * Between write_begin and write_end. */
static void fit_chain(mqlua_dict *dict, dict_shard *shard, chunk_id entry, uint32_t have, uint32_t want,
                      chunk_id more)
{
    chunk_id last = entry;
    for (uint32_t i = 1; i < (have < want ? have : want); i++)
        last = last == entry ? high(word_get(dict, entry, W_CHAIN)) : low(word_get(dict, last, 0));
    chunk_id rest = last == entry ? high(word_get(dict, entry, W_CHAIN)) : low(word_get(dict, last, 0));
    if (last == entry)
        word_set(dict, entry, W_CHAIN, pair(more, low(word_get(dict, entry, W_CHAIN))));
    else
        word_set(dict, last, 0, more);
    while (rest) {
        chunk_id next = low(word_get(dict, rest, 0));
        mqlua_dict_give(dict, shard, rest);
        rest = next;
    }
}

static void put_value(mqlua_dict *dict, dict_shard *shard, chunk_id entry, const mqlua_dict_value *value,
                      uint64_t expiry, uint32_t flags, bool pinned)
{
    uint32_t key_size = low(word_get(dict, entry, W_SIZES));
    word_set(dict, entry, W_TYPE, expiry << 8 | (pinned ? PINNED : 0) | (uint64_t)value->type);
    word_set(dict, entry, W_NUMBER, bits_from(value));
    word_set(dict, entry, W_ORDER, pair(high(word_get(dict, entry, W_ORDER)), flags));
    if (value->type == MQLUA_DICT_TEXT) {
        word_set(dict, entry, W_SIZES, pair((uint32_t)value->size, key_size));
        mqlua_dict_write(dict, entry, HEAD_WORDS, W_CHAIN, words_of(key_size), value->text, value->size);
    } else {
        word_set(dict, entry, W_SIZES, key_size);
    }
    mqlua_dict_count(&shard->stored);
}

uint64_t mqlua_dict_expiry_of(const mqlua_dict *dict, uint64_t ttl)
{
    if (!ttl)
        return 0;
    uint64_t now = mqlua_dict_now(dict), longest = ((uint64_t)1 << 56) - 1;
    return ttl < longest - now ? now + ttl : longest;
}

/* A value in the place of the one that is there. False: no room, and it is as it was; *retry: the lock was
 * given up. */
static bool replace_value(mqlua_dict *dict, dict_shard *shard, chunk_id entry, const mqlua_dict_value *value,
                          const mqlua_dict_options *options, bool *forced, int *tries, bool *retry)
{
    uint32_t have = chunks_of(dict, entry);
    uint32_t want = chunks_for(low(word_get(dict, entry, W_SIZES)), value);
    chunk_id more = 0;
    if (want > atomic_load_explicit(&dict->limit, memory_order_relaxed))
        return false;
    if (want > have)
        more = mqlua_dict_obtain(dict, shard, want - have, options->safe, entry, forced, tries);
    *retry = more == MQLUA_DICT_RETRY;
    if (*retry || (want > have && !more))
        return false;
    mqlua_dict_write_begin(shard);
    if (mqlua_dict_type_of(dict, entry) == MQLUA_DICT_LIST)
        mqlua_dict_list_clear(dict, shard, entry);
    if (want != have)
        fit_chain(dict, shard, entry, have, want, more);
    put_value(dict, shard, entry, value, mqlua_dict_expiry_of(dict, options->ttl), options->flags, false);
    mqlua_dict_order_remove(dict, shard, entry);
    mqlua_dict_order_add(dict, shard, entry);
    mqlua_dict_write_end(shard);
    return true;
}

/* Stores it where entry (0: none) is. The lock is held. NO_MEMORY or OK; *retry: neither, look again. */
static mqlua_dict_status store_at(mqlua_dict *dict, const dict_key *key, chunk_id entry,
                                  const mqlua_dict_value *value, const mqlua_dict_options *options,
                                  bool pinned, bool *forced, int *tries, bool *retry)
{
    *retry = false;
    if (entry)
        return replace_value(dict, key->shard, entry, value, options, forced, tries, retry)
                   ? MQLUA_DICT_OK
                   : MQLUA_DICT_NO_MEMORY;
    entry = mqlua_dict_insert(dict, key, chunks_for(key->size, value), options->safe, forced, tries);
    *retry = entry == MQLUA_DICT_RETRY;
    if (!entry || *retry)
        return MQLUA_DICT_NO_MEMORY;
    mqlua_dict_write_begin(key->shard);
    put_value(dict, key->shard, entry, value, mqlua_dict_expiry_of(dict, options->ttl), options->flags,
              pinned);
    mqlua_dict_write_end(key->shard);
    return MQLUA_DICT_OK;
}

static void count_refused(dict_shard *shard, mqlua_dict_status status)
{
    if (status == MQLUA_DICT_NO_MEMORY)
        mqlua_dict_count(&shard->refused);
}

mqlua_dict_status mqlua_dict_store(mqlua_dict *dict, const char *text, size_t size,
                                   const mqlua_dict_value *value, const mqlua_dict_options *options,
                                   bool *forced)
{
    dict_key key = mqlua_dict_key(dict, text, size);
    mqlua_dict_status status = MQLUA_DICT_OK;
    bool retry = true, ours = false;
    pthread_mutex_lock(&key.shard->lock);
    for (int tries = 0; retry;) {
        chunk_id entry = mqlua_dict_find(dict, &key);
        bool there = entry && (options->mode == MQLUA_DICT_SET || !mqlua_dict_has_expired(dict, entry));
        retry = false;
        if (options->mode == MQLUA_DICT_ADD && there)
            status = MQLUA_DICT_EXISTS;
        else if (options->mode == MQLUA_DICT_REPLACE && !there)
            status = MQLUA_DICT_ABSENT;
        else
            status = store_at(dict, &key, entry, value, options, false, &ours, &tries, &retry);
    }
    count_refused(key.shard, status);
    pthread_mutex_unlock(&key.shard->lock);
    if (forced)
        *forced = ours;
    return status;
}

/* Whether the entry's value is expected. */
static bool is_value(const mqlua_dict *dict, chunk_id entry, const mqlua_dict_value *expected)
{
    if (!entry || mqlua_dict_has_expired(dict, entry))
        return expected->type == MQLUA_DICT_NONE;
    if (mqlua_dict_type_of(dict, entry) != expected->type || expected->type == MQLUA_DICT_LIST)
        return false;
    uint64_t sizes = word_get(dict, entry, W_SIZES);
    if (expected->type != MQLUA_DICT_TEXT)
        return word_get(dict, entry, W_NUMBER) == bits_from(expected);
    return high(sizes) == expected->size &&
           mqlua_dict_same(dict, entry, HEAD_WORDS, W_CHAIN, words_of(low(sizes)), expected->text,
                           expected->size);
}

static void remove_entry(mqlua_dict *dict, dict_shard *shard, chunk_id entry)
{
    mqlua_dict_write_begin(shard);
    mqlua_dict_remove(dict, shard, entry);
    mqlua_dict_write_end(shard);
    mqlua_dict_count(&shard->stored);
}

mqlua_dict_status mqlua_dict_swap(mqlua_dict *dict, const char *text, size_t size,
                                  const mqlua_dict_value *expected, const mqlua_dict_value *value,
                                  const mqlua_dict_options *options)
{
    dict_key key = mqlua_dict_key(dict, text, size);
    mqlua_dict_status status = MQLUA_DICT_OK;
    bool retry = true, forced = false;
    pthread_mutex_lock(&key.shard->lock);
    for (int tries = 0; retry;) {
        chunk_id entry = mqlua_dict_find(dict, &key);
        retry = false;
        if (!is_value(dict, entry, expected))
            status = MQLUA_DICT_CHANGED;
        else if (value->type != MQLUA_DICT_NONE)
            status = store_at(dict, &key, entry, value, options, false, &forced, &tries, &retry);
        else if (entry)
            remove_entry(dict, key.shard, entry);
    }
    count_refused(key.shard, status);
    pthread_mutex_unlock(&key.shard->lock);
    return status;
}

/* The sum, an integer where both are and it fits. */
static mqlua_dict_value sum(const mqlua_dict_value *a, const mqlua_dict_value *b)
{
    mqlua_dict_value result = {.type = MQLUA_DICT_INTEGER};
    if (a->type == MQLUA_DICT_INTEGER && b->type == MQLUA_DICT_INTEGER &&
        !__builtin_add_overflow(a->integer, b->integer, &result.integer))
        return result;
    result.type = MQLUA_DICT_NUMBER;
    result.number = (a->type == MQLUA_DICT_INTEGER ? (double)a->integer : a->number) +
                    (b->type == MQLUA_DICT_INTEGER ? (double)b->integer : b->number);
    return result;
}

static double double_of(const mqlua_dict_value *value)
{
    return value->type == MQLUA_DICT_INTEGER ? (double)value->integer : value->number;
}

/* Another number in the place of one, with the same life and flags. The lock is held. */
static void put_number(mqlua_dict *dict, dict_shard *shard, chunk_id entry, const mqlua_dict_value *number)
{
    uint64_t type = word_get(dict, entry, W_TYPE);
    mqlua_dict_write_begin(shard);
    put_value(dict, shard, entry, number, type >> 8, low(word_get(dict, entry, W_ORDER)), type & PINNED);
    mqlua_dict_order_remove(dict, shard, entry);
    mqlua_dict_order_add(dict, shard, entry);
    mqlua_dict_write_end(shard);
}

/* Of an entry that has not expired. The lock is held. */
static mqlua_dict_status add_to(mqlua_dict *dict, dict_shard *shard, chunk_id entry,
                                const mqlua_dict_value *step, const mqlua_dict_value *most,
                                mqlua_dict_value *result)
{
    mqlua_dict_value value;
    value_from(&value, mqlua_dict_type_of(dict, entry), word_get(dict, entry, W_NUMBER));
    if (value.type != MQLUA_DICT_NUMBER && value.type != MQLUA_DICT_INTEGER)
        return MQLUA_DICT_NOT_NUMBER;
    *result = sum(&value, step);
    if (most && double_of(result) > double_of(most)) {
        *result = value;
        return MQLUA_DICT_TOO_MUCH;
    }
    put_number(dict, shard, entry, result);
    return MQLUA_DICT_OK;
}

mqlua_dict_status mqlua_dict_incr(mqlua_dict *dict, const char *text, size_t size,
                                  const mqlua_dict_value *step, const mqlua_dict_value *init, uint64_t ttl,
                                  const mqlua_dict_value *most, mqlua_dict_value *result, bool *forced)
{
    dict_key key = mqlua_dict_key(dict, text, size);
    mqlua_dict_status status = MQLUA_DICT_OK;
    bool retry = true, ours = false;
    pthread_mutex_lock(&key.shard->lock);
    for (int tries = 0; retry;) {
        chunk_id entry = mqlua_dict_find(dict, &key);
        retry = false;
        if (entry && !mqlua_dict_has_expired(dict, entry)) {
            status = add_to(dict, key.shard, entry, step, most, result);
            continue;
        }
        if (!init) {
            status = MQLUA_DICT_ABSENT;
            continue;
        }
        *result = sum(init, step);
        if (most && double_of(result) > double_of(most)) {
            *result = *init;
            status = MQLUA_DICT_TOO_MUCH;
            continue;
        }
        if (entry) /* it has expired: what made it does not matter any more */
            remove_entry(dict, key.shard, entry);
        mqlua_dict_options options = {.mode = MQLUA_DICT_SET, .ttl = ttl};
        status = store_at(dict, &key, 0, result, &options, !ttl, &ours, &tries, &retry);
    }
    count_refused(key.shard, status);
    pthread_mutex_unlock(&key.shard->lock);
    if (forced)
        *forced = ours;
    return status;
}

mqlua_dict_status mqlua_dict_take_rate(mqlua_dict *dict, const char *text, size_t size, double now,
                                       double interval, double burst, double count, double *value)
{
    dict_key key = mqlua_dict_key(dict, text, size);
    mqlua_dict_status status = MQLUA_DICT_OK;
    bool retry = true, forced = false;
    *value = HUGE_VAL;
    if (count > burst)
        return MQLUA_DICT_TOO_MUCH;
    pthread_mutex_lock(&key.shard->lock);
    for (int tries = 0; retry;) {
        chunk_id entry = mqlua_dict_find(dict, &key);
        bool there = entry && !mqlua_dict_has_expired(dict, entry);
        mqlua_dict_value full = {.type = MQLUA_DICT_NUMBER, .number = now};
        retry = false;
        if (there)
            value_from(&full, mqlua_dict_type_of(dict, entry), word_get(dict, entry, W_NUMBER));
        if (full.type != MQLUA_DICT_NUMBER) {
            status = MQLUA_DICT_NOT_NUMBER;
            continue;
        }
        full.number = fmin(fmax(full.number, now), now + burst * interval) + count * interval;
        double wait = full.number - burst * interval - now;
        if (wait > 1e-9) {
            *value = wait;
            status = MQLUA_DICT_TOO_MUCH;
            continue;
        }
        *value = floor(-wait / interval + 1e-6);
        mqlua_dict_options options = {.ttl = (uint64_t)((full.number - now) * 1000) + 1};
        status = store_at(dict, &key, entry, &full, &options, false, &forced, &tries, &retry);
    }
    count_refused(key.shard, status);
    pthread_mutex_unlock(&key.shard->lock);
    return status;
}

void mqlua_dict_delete(mqlua_dict *dict, const char *text, size_t size)
{
    dict_key key = mqlua_dict_key(dict, text, size);
    pthread_mutex_lock(&key.shard->lock);
    chunk_id entry = mqlua_dict_find(dict, &key);
    if (entry)
        remove_entry(dict, key.shard, entry);
    pthread_mutex_unlock(&key.shard->lock);
}

mqlua_dict_status mqlua_dict_ttl(mqlua_dict *dict, const char *text, size_t size, uint64_t *ttl)
{
    dict_key key = mqlua_dict_key(dict, text, size);
    pthread_mutex_lock(&key.shard->lock);
    chunk_id entry = mqlua_dict_find(dict, &key);
    uint64_t expiry = entry ? mqlua_dict_expiry(dict, entry) : 0, now = expiry ? mqlua_dict_now(dict) : 0;
    pthread_mutex_unlock(&key.shard->lock);
    if (!entry || (expiry && expiry <= now))
        return MQLUA_DICT_ABSENT;
    *ttl = expiry ? expiry - now : 0;
    return MQLUA_DICT_OK;
}

mqlua_dict_status mqlua_dict_expire(mqlua_dict *dict, const char *text, size_t size, uint64_t ttl)
{
    dict_key key = mqlua_dict_key(dict, text, size);
    pthread_mutex_lock(&key.shard->lock);
    chunk_id entry = mqlua_dict_find(dict, &key);
    bool there = entry && !mqlua_dict_has_expired(dict, entry);
    if (there) {
        uint64_t rest = word_get(dict, entry, W_TYPE) & (TYPE_MASK | PINNED);
        mqlua_dict_write_begin(key.shard);
        word_set(dict, entry, W_TYPE, mqlua_dict_expiry_of(dict, ttl) << 8 | (ttl ? rest & TYPE_MASK : rest));
        mqlua_dict_write_end(key.shard);
        mqlua_dict_count(&key.shard->stored);
    }
    pthread_mutex_unlock(&key.shard->lock);
    return there ? MQLUA_DICT_OK : MQLUA_DICT_ABSENT;
}
