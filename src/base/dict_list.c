/* SPDX-License-Identifier: MIT */

/* Lists in a dictionary: the value of an entry, made of nodes that hold a number or a text each. */

#include "base/dict_internal.h"

#include <string.h>

/* The list's ends, from the entry's word for numbers. */
static chunk_id first_of(const mqlua_dict *dict, chunk_id entry)
{
    return high(word_get(dict, entry, W_NUMBER));
}

static chunk_id last_of(const mqlua_dict *dict, chunk_id entry)
{
    return low(word_get(dict, entry, W_NUMBER));
}

static size_t length_of(const mqlua_dict *dict, chunk_id entry)
{
    return high(word_get(dict, entry, W_SIZES));
}

static void set_length(mqlua_dict *dict, chunk_id entry, size_t length)
{
    word_set(dict, entry, W_SIZES, pair((uint32_t)length, low(word_get(dict, entry, W_SIZES))));
}

static void give_node(mqlua_dict *dict, dict_shard *shard, chunk_id node)
{
    for (chunk_id at = high(word_get(dict, node, N_CHAIN)), next; at; at = next) {
        next = low(word_get(dict, at, 0));
        mqlua_dict_give(dict, shard, at);
    }
    mqlua_dict_give(dict, shard, node);
}

void mqlua_dict_list_clear(mqlua_dict *dict, dict_shard *shard, chunk_id entry)
{
    for (chunk_id node = first_of(dict, entry), next; node; node = next) {
        next = high(word_get(dict, node, N_LINKS));
        give_node(dict, shard, node);
    }
    word_set(dict, entry, W_NUMBER, 0);
    set_length(dict, entry, 0);
}

static uint64_t bits_of(const mqlua_dict_value *value)
{
    uint64_t bits = (uint64_t)value->integer;
    if (value->type == MQLUA_DICT_NUMBER)
        memcpy(&bits, &value->number, sizeof bits);
    return bits;
}

static void fill_node(mqlua_dict *dict, chunk_id node, const mqlua_dict_value *value)
{
    chunk_id rest = low(word_get(dict, node, 0));
    size_t size = value->type == MQLUA_DICT_TEXT ? value->size : 0;
    word_set(dict, node, N_CHAIN, pair(rest, (uint32_t)value->type));
    word_set(dict, node, N_SIZE, size);
    word_set(dict, node, N_NUMBER, size || value->type == MQLUA_DICT_TEXT ? 0 : bits_of(value));
    mqlua_dict_write(dict, node, NODE_WORDS, N_CHAIN, 0, value->text, size);
}

static void link_node(mqlua_dict *dict, chunk_id entry, chunk_id node, bool left)
{
    chunk_id first = first_of(dict, entry), last = last_of(dict, entry);
    word_set(dict, node, N_LINKS, left ? pair(first, 0) : pair(0, last));
    if (left && first)
        word_set(dict, first, N_LINKS, pair(high(word_get(dict, first, N_LINKS)), node));
    if (!left && last)
        word_set(dict, last, N_LINKS, pair(node, low(word_get(dict, last, N_LINKS))));
    word_set(dict, entry, W_NUMBER, left ? pair(node, last ? last : node) : pair(first ? first : node, node));
    set_length(dict, entry, length_of(dict, entry) + 1);
}

static void unlink_node(mqlua_dict *dict, chunk_id entry, chunk_id node)
{
    uint64_t links = word_get(dict, node, N_LINKS);
    chunk_id next = high(links), before = low(links);
    if (next)
        word_set(dict, next, N_LINKS, pair(high(word_get(dict, next, N_LINKS)), before));
    if (before)
        word_set(dict, before, N_LINKS, pair(next, low(word_get(dict, before, N_LINKS))));
    word_set(dict, entry, W_NUMBER,
             pair(before ? first_of(dict, entry) : next, next ? last_of(dict, entry) : before));
    set_length(dict, entry, length_of(dict, entry) - 1);
}

/* The entry of a list that has not expired. *status: NOT_LIST where it is something else, ABSENT where there
 * is none. */
static chunk_id find_list(const mqlua_dict *dict, const dict_key *key, mqlua_dict_status *status)
{
    chunk_id entry = mqlua_dict_find(dict, key);
    *status = MQLUA_DICT_ABSENT;
    if (!entry || mqlua_dict_has_expired(dict, entry))
        return 0;
    if (mqlua_dict_type_of(dict, entry) == MQLUA_DICT_LIST) {
        *status = MQLUA_DICT_OK;
        return entry;
    }
    *status = MQLUA_DICT_NOT_LIST;
    return 0;
}

/* An empty list in the place of whatever expired there. 0: no room; or MQLUA_DICT_RETRY. */
static chunk_id new_list(mqlua_dict *dict, const dict_key *key, int *tries)
{
    bool forced = false;
    chunk_id entry = mqlua_dict_find(dict, key);
    if (entry) {
        mqlua_dict_write_begin(key->shard);
        mqlua_dict_remove(dict, key->shard, entry);
        mqlua_dict_write_end(key->shard);
    }
    uint32_t count = mqlua_dict_chunks_for(words_of(key->size), CHUNK_WORDS - HEAD_WORDS);
    entry = mqlua_dict_insert(dict, key, count, true, &forced, tries);
    if (!entry || entry == MQLUA_DICT_RETRY)
        return entry;
    mqlua_dict_write_begin(key->shard);
    word_set(dict, entry, W_TYPE, MQLUA_DICT_LIST);
    mqlua_dict_write_end(key->shard);
    return entry;
}

mqlua_dict_status mqlua_dict_push(mqlua_dict *dict, const char *text, size_t size, bool left,
                                  const mqlua_dict_value *value, size_t *length)
{
    dict_key key = mqlua_dict_key(dict, text, size);
    mqlua_dict_status status;
    bool forced = false;
    uint32_t words = value->type == MQLUA_DICT_TEXT ? words_of(value->size) : 0;
    uint32_t count = mqlua_dict_chunks_for(words, CHUNK_WORDS - NODE_WORDS);
    pthread_mutex_lock(&key.shard->lock);
    chunk_id entry = find_list(dict, &key, &status);
    for (int tries = 0; status == MQLUA_DICT_ABSENT;) {
        entry = new_list(dict, &key, &tries);
        if (entry == MQLUA_DICT_RETRY)
            entry = find_list(dict, &key, &status);
        else
            status = entry ? MQLUA_DICT_OK : MQLUA_DICT_NO_MEMORY;
    }
    if (status == MQLUA_DICT_OK) {
        chunk_id node = mqlua_dict_make_room(dict, key.shard, count, true, entry, &forced)
                            ? mqlua_dict_take(dict, key.shard, count)
                            : 0;
        status = node ? MQLUA_DICT_OK : MQLUA_DICT_NO_MEMORY;
        mqlua_dict_write_begin(key.shard);
        if (node) {
            fill_node(dict, node, value);
            link_node(dict, entry, node, left);
            mqlua_dict_order_remove(dict, key.shard, entry);
            mqlua_dict_order_add(dict, key.shard, entry);
        } else if (!length_of(dict, entry)) {
            mqlua_dict_remove(dict, key.shard, entry);
        }
        *length = node ? length_of(dict, entry) : 0;
        mqlua_dict_write_end(key.shard);
        mqlua_dict_count(node ? &key.shard->stored : &key.shard->refused);
    }
    pthread_mutex_unlock(&key.shard->lock);
    return status;
}

static bool read_node(const mqlua_dict *dict, chunk_id node, mqlua_dict_scratch *scratch,
                      mqlua_dict_value *value)
{
    uint64_t bits = word_get(dict, node, N_NUMBER);
    *value = (mqlua_dict_value){.type = (mqlua_dict_type)low(word_get(dict, node, N_CHAIN))};
    if (value->type != MQLUA_DICT_TEXT) {
        if (value->type == MQLUA_DICT_NUMBER)
            memcpy(&value->number, &bits, sizeof bits);
        else
            value->integer = (int64_t)bits;
        return true;
    }
    value->size = (size_t)word_get(dict, node, N_SIZE);
    if (!mqlua_dict_scratch_grow(scratch, value->size))
        return false;
    value->text = scratch->text;
    return mqlua_dict_read(dict, node, NODE_WORDS, N_CHAIN, 0, scratch->text, value->size);
}

mqlua_dict_status mqlua_dict_pop(mqlua_dict *dict, const char *text, size_t size, bool left,
                                 mqlua_dict_scratch *scratch, mqlua_dict_value *value)
{
    dict_key key = mqlua_dict_key(dict, text, size);
    mqlua_dict_status status;
    pthread_mutex_lock(&key.shard->lock);
    chunk_id entry = find_list(dict, &key, &status);
    if (entry) {
        chunk_id node = left ? first_of(dict, entry) : last_of(dict, entry);
        if (read_node(dict, node, scratch, value)) {
            mqlua_dict_write_begin(key.shard);
            unlink_node(dict, entry, node);
            give_node(dict, key.shard, node);
            if (!length_of(dict, entry))
                mqlua_dict_remove(dict, key.shard, entry);
            mqlua_dict_write_end(key.shard);
            mqlua_dict_count(&key.shard->stored);
        } else {
            status = MQLUA_DICT_NO_MEMORY;
        }
    }
    pthread_mutex_unlock(&key.shard->lock);
    return status;
}

mqlua_dict_status mqlua_dict_length(mqlua_dict *dict, const char *text, size_t size, size_t *length)
{
    dict_key key = mqlua_dict_key(dict, text, size);
    mqlua_dict_status status;
    pthread_mutex_lock(&key.shard->lock);
    chunk_id entry = find_list(dict, &key, &status);
    *length = entry ? length_of(dict, entry) : 0;
    pthread_mutex_unlock(&key.shard->lock);
    return status == MQLUA_DICT_ABSENT ? MQLUA_DICT_OK : status;
}
