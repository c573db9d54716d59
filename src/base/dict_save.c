/* SPDX-License-Identifier: MIT */

/* A dictionary as a file: a head, one record for each entry, an end, and a checksum over all of it. */

#include "base/dict_internal.h"
#include "base/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static const char MAGIC[8] = {'M', 'Q', 'L', 'D', 'I', 'C', 'T', '1'};

/* What begins the file. wall: milliseconds since 1970 when it was written; lives are counted from then. */
typedef struct file_head {
    char magic[8];
    uint64_t wall;
} file_head;

/* What begins a record; key, then text or nodes, follow. The end is a record with a key of 0 bytes. */
typedef struct entry_record {
    uint64_t ttl;    /* milliseconds left, 0: for ever */
    uint64_t number; /* of a list: how many nodes */
    uint32_t key_size, text_size, flags;
    uint8_t type, pinned, unused[2];
} entry_record;

typedef struct node_record {
    uint64_t number;
    uint32_t text_size;
    uint32_t type;
} node_record;

/* ---- writing ---- */

typedef struct saving {
    FILE *file;
    XXH3_state_t *sum;
    char *bytes; /* of one slice: copied with the lock held, written without */
    size_t size, room;
    bool failed;
} saving;

static void *more(saving *s, size_t size)
{
    if (s->failed)
        return NULL;
    if (s->size + size > s->room) {
        size_t room = (s->size + size) * 2;
        char *bytes = realloc(s->bytes, room);
        if (!bytes) {
            s->failed = true;
            return NULL;
        }
        s->bytes = bytes;
        s->room = room;
    }
    void *at = s->bytes + s->size;
    s->size += size;
    return at;
}

static void write_out(saving *s)
{
    if (!s->failed && s->size) {
        s->failed = fwrite(s->bytes, 1, s->size, s->file) != s->size;
        XXH3_64bits_update(s->sum, s->bytes, s->size);
    }
    s->size = 0;
}

static void add_nodes(const mqlua_dict *dict, chunk_id entry, saving *s)
{
    for (chunk_id node = high(word_get(dict, entry, W_NUMBER)); node;
         node = high(word_get(dict, node, N_LINKS))) {
        node_record record = {.number = word_get(dict, node, N_NUMBER),
                              .text_size = (uint32_t)word_get(dict, node, N_SIZE),
                              .type = low(word_get(dict, node, N_CHAIN))};
        char *at = more(s, sizeof record + record.text_size);
        if (!at)
            return;
        memcpy(at, &record, sizeof record);
        mqlua_dict_read(dict, node, NODE_WORDS, N_CHAIN, 0, at + sizeof record, record.text_size);
    }
}

static bool add_entry(mqlua_dict *dict, dict_shard *shard, chunk_id entry, void *ud)
{
    saving *s = ud;
    uint64_t type = word_get(dict, entry, W_TYPE), sizes = word_get(dict, entry, W_SIZES);
    uint64_t expiry = type >> 8, now = expiry ? mqlua_dict_now(dict) : 0;
    bool list = (type & TYPE_MASK) == MQLUA_DICT_LIST;
    if (expiry && expiry <= now)
        return true;
    entry_record record = {.ttl = expiry ? expiry - now : 0,
                           .number = list ? high(sizes) : word_get(dict, entry, W_NUMBER),
                           .key_size = low(sizes),
                           .text_size = list ? 0 : high(sizes),
                           .flags = low(word_get(dict, entry, W_ORDER)),
                           .type = type & TYPE_MASK,
                           .pinned = (type & PINNED) != 0};
    char *at = more(s, sizeof record + record.key_size + record.text_size);
    if (!at)
        return false;
    memcpy(at, &record, sizeof record);
    at += sizeof record;
    mqlua_dict_read(dict, entry, HEAD_WORDS, W_CHAIN, 0, at, record.key_size);
    mqlua_dict_read(dict, entry, HEAD_WORDS, W_CHAIN, words_of(record.key_size), at + record.key_size,
                    record.text_size);
    if (list)
        add_nodes(dict, entry, s);
    return !s->failed;
}

static bool slice_done(void *ud)
{
    saving *s = ud;
    write_out(s);
    return !s->failed;
}

bool mqlua_dict_save(mqlua_dict *dict, FILE *file, uint64_t wall)
{
    saving s = {.file = file, .sum = XXH3_createState()};
    if (!s.sum)
        return false;
    XXH3_64bits_reset(s.sum);
    file_head head = {.wall = wall};
    memcpy(head.magic, MAGIC, sizeof MAGIC);
    void *at = more(&s, sizeof head);
    if (at)
        memcpy(at, &head, sizeof head);
    mqlua_dict_scan(dict, add_entry, slice_done, &s);
    at = more(&s, sizeof(entry_record));
    if (at)
        memset(at, 0, sizeof(entry_record));
    write_out(&s);
    uint64_t sum = XXH3_64bits_digest(s.sum);
    s.failed = s.failed || fwrite(&sum, 1, sizeof sum, file) != sizeof sum;
    XXH3_freeState(s.sum);
    free(s.bytes);
    return !s.failed;
}

/* ---- reading ---- */

typedef struct loading {
    mqlua_dict *dict;
    const char *bytes, *end;
    uint64_t elapsed; /* milliseconds since the file was written */
} loading;

/* The next size bytes, or NULL: there are not so many. */
static const char *next(loading *l, size_t size)
{
    if ((size_t)(l->end - l->bytes) < size)
        return NULL;
    const char *at = l->bytes;
    l->bytes += size;
    return at;
}

static bool value_of(mqlua_dict_value *value, unsigned type, uint64_t number, const char *text, size_t size)
{
    *value = (mqlua_dict_value){.type = (mqlua_dict_type)type, .text = text, .size = size};
    if (type == MQLUA_DICT_NUMBER)
        memcpy(&value->number, &number, sizeof number);
    else if (type == MQLUA_DICT_INTEGER)
        value->integer = (int64_t)number;
    else if (type == MQLUA_DICT_BOOLEAN)
        value->boolean = number != 0;
    else
        return type == MQLUA_DICT_TEXT;
    return true;
}

/* keep false: the record has expired. False: the nodes are cut off or malformed. */
static bool load_nodes(loading *l, const entry_record *record, const char *key, bool keep)
{
    for (uint64_t i = 0; i < record->number; i++) {
        node_record node;
        const char *head = next(l, sizeof node);
        if (!head)
            return false;
        memcpy(&node, head, sizeof node);
        const char *text = next(l, node.text_size);
        mqlua_dict_value value;
        size_t length;
        if (!text || node.type == MQLUA_DICT_BOOLEAN ||
            !value_of(&value, node.type, node.number, text, node.text_size))
            return false;
        if (keep)
            mqlua_dict_push(l->dict, key, record->key_size, false, &value, &length);
    }
    return true;
}

/* What does not fit any more is left behind: the capacity may be another one. */
static void load_value(loading *l, const entry_record *record, const char *key, const mqlua_dict_value *value,
                       uint64_t ttl)
{
    mqlua_dict_value zero = {.type = MQLUA_DICT_INTEGER}, result;
    mqlua_dict_options options = {.mode = MQLUA_DICT_ADD, .ttl = ttl, .flags = record->flags, .safe = true};
    if (record->pinned && (value->type == MQLUA_DICT_NUMBER || value->type == MQLUA_DICT_INTEGER))
        mqlua_dict_incr(l->dict, key, record->key_size, &zero, value, 0, NULL, &result, NULL);
    else
        mqlua_dict_store(l->dict, key, record->key_size, value, &options, NULL);
}

/* 1: a record was read; 0: the end; -1: it is malformed. */
static int load_record(loading *l)
{
    entry_record record;
    const char *head = next(l, sizeof record);
    if (!head)
        return -1;
    memcpy(&record, head, sizeof record);
    if (!record.key_size)
        return 0;
    const char *key = next(l, record.key_size), *text = next(l, record.text_size);
    if (!key || !text || record.key_size > MQLUA_DICT_KEY)
        return -1;
    bool keep = !record.ttl || record.ttl > l->elapsed;
    uint64_t ttl = record.ttl ? record.ttl - l->elapsed : 0;
    mqlua_dict_value value;
    if (record.type == MQLUA_DICT_LIST) {
        size_t length;
        keep =
            keep && mqlua_dict_length(l->dict, key, record.key_size, &length) == MQLUA_DICT_OK && length == 0;
        if (!load_nodes(l, &record, key, keep))
            return -1;
        if (keep && ttl)
            mqlua_dict_expire(l->dict, key, record.key_size, ttl);
        return 1;
    }
    if (!value_of(&value, record.type, record.number, text, record.text_size))
        return -1;
    if (keep)
        load_value(l, &record, key, &value, ttl);
    return 1;
}

bool mqlua_dict_load(mqlua_dict *dict, const char *bytes, size_t size, uint64_t wall, char **error)
{
    file_head head;
    uint64_t sum;
    if (size < sizeof head + sizeof(entry_record) + sizeof sum || memcmp(bytes, MAGIC, sizeof MAGIC) != 0) {
        mqlua_error_set(error, "it is no dictionary of this version");
        return false;
    }
    memcpy(&head, bytes, sizeof head);
    memcpy(&sum, bytes + size - sizeof sum, sizeof sum);
    if (XXH3_64bits(bytes, size - sizeof sum) != sum) {
        mqlua_error_set(error, "its checksum is wrong: it was cut off or changed");
        return false;
    }
    loading l = {.dict = dict, .bytes = bytes + sizeof head, .end = bytes + size - sizeof sum};
    l.elapsed = wall > head.wall ? wall - head.wall : 0; /* a clock that was set back takes no life away */
    int more;
    while ((more = load_record(&l)) > 0) {
        /* each stores itself */
    }
    if (more < 0)
        mqlua_error_set(error, "byte %zu is no record", (size_t)(l.bytes - bytes));
    return more == 0;
}
