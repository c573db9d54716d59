/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A dictionary that all threads of the process share: keys and values of bytes, with a capacity that is never
 * exceeded.
 *
 * Memory is cut into chunks of 64 bytes. An entry takes one for its header with 16 bytes of key and text, and
 * one more for each further 56 bytes; key and text each begin at a multiple of 8. A chunk costs
 * MQLUA_DICT_CHUNK_COST bytes of the capacity, its part of the index included.
 *
 * Entries are spread over shards by a keyed hash. Writers of a shard exclude each other. Readers take no lock
 * and write nothing that other readers read, but for one byte when an entry is read for the first time since
 * room was made: they read the shard's sequence number, then the entry, then the number again, and begin anew
 * when it changed.
 *
 * When there is no room, expired entries go first, as far as the next MQLUA_DICT_SWEEP places of the index
 * know them. Then the entry goes that was written least recently, unless it was read since it was last
 * spared; at most MQLUA_DICT_SPARED entries are spared for that in a row. What mqlua_dict_incr made without a
 * time to live never goes.
 *
 * Any thread may call any function, except where one says otherwise. No function calls back while it holds a
 * lock.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct mqlua_dict mqlua_dict;

enum {
    MQLUA_DICT_KEY = 65535,     /* longest key, bytes */
    MQLUA_DICT_CHUNK_COST = 69, /* bytes of capacity for a chunk: 64, a mark, and a place in the index */
    MQLUA_DICT_SWEEP = 256,
    MQLUA_DICT_SPARED = 1000,
    MQLUA_DICT_READERS = 64, /* slots for counting hits and misses */
    MQLUA_DICT_LEAST = 8192, /* least capacity, bytes */
};

typedef enum mqlua_dict_type {
    MQLUA_DICT_NONE,
    MQLUA_DICT_BOOLEAN,
    MQLUA_DICT_NUMBER,
    MQLUA_DICT_INTEGER,
    MQLUA_DICT_TEXT,
    MQLUA_DICT_LIST,
} mqlua_dict_type;

typedef struct mqlua_dict_value {
    mqlua_dict_type type;
    union {
        bool boolean;
        double number;
        int64_t integer;
    };
    const char *text; /* of a TEXT: borrowed; size bytes, any */
    size_t size;
} mqlua_dict_value;

typedef enum mqlua_dict_status {
    MQLUA_DICT_OK,
    MQLUA_DICT_ABSENT,     /* no such key, or it has expired */
    MQLUA_DICT_EXISTS,     /* add: there is one */
    MQLUA_DICT_NO_MEMORY,  /* no room, or (reading) no memory for a copy */
    MQLUA_DICT_NOT_NUMBER, /* incr: the value is something else */
    MQLUA_DICT_NOT_LIST,   /* push, pop, length: the value is something else */
    MQLUA_DICT_IS_LIST,    /* get: a list has no value */
    MQLUA_DICT_TOO_MUCH,   /* incr, take_rate: it would be above the limit */
    MQLUA_DICT_CHANGED,    /* swap: the value is not the expected one any more */
} mqlua_dict_status;

/* Where texts that are read are copied to: one for each thread, zeroed before first use. */
typedef struct mqlua_dict_scratch {
    char *text; /* malloc'ed */
    size_t room;
} mqlua_dict_scratch;
void mqlua_dict_scratch_free(mqlua_dict_scratch *scratch);

/* A dictionary of capacity bytes, at least MQLUA_DICT_LEAST, that may later grow up to most bytes (address
 * space, not memory). NULL when memory is out. Owned by the caller. */
mqlua_dict *mqlua_dict_new(size_t capacity, size_t most);

/* No thread uses it any more. NULL is fine. */
void mqlua_dict_free(mqlua_dict *dict);

/* Milliseconds from some point in the past that never goes back. Entries expire by it. */
uint64_t mqlua_dict_clock(void);
/* For tests: clock(ud) instead. Before other threads know the dictionary. */
void mqlua_dict_set_clock(mqlua_dict *dict, uint64_t (*clock)(void *ud), void *ud);

/* What a read found. */
typedef struct mqlua_dict_found {
    mqlua_dict_value value; /* a text is in the scratch */
    uint32_t flags;
    bool stale; /* it has expired */
} mqlua_dict_found;

/* Reads a value. stale: also one that has expired and is still there. slot, below MQLUA_DICT_READERS, is
 * where the hit or miss is counted: threads with slots of their own do not get into each other's way. OK,
 * ABSENT, IS_LIST or NO_MEMORY. */
mqlua_dict_status mqlua_dict_get(mqlua_dict *dict, const char *key, size_t size, bool stale, unsigned slot,
                                 mqlua_dict_scratch *scratch, mqlua_dict_found *found);

typedef enum mqlua_dict_mode { MQLUA_DICT_SET, MQLUA_DICT_ADD, MQLUA_DICT_REPLACE } mqlua_dict_mode;

typedef struct mqlua_dict_options {
    mqlua_dict_mode mode;
    uint64_t ttl; /* milliseconds, 0: it does not expire */
    uint32_t flags;
    bool safe; /* never in the place of an entry that has not expired */
} mqlua_dict_options;

/* Stores a value, which is no list. *forced (may be NULL): entries that had not expired had to go. OK,
 * EXISTS, ABSENT or NO_MEMORY; an entry that was there stays as it was where the result is not OK. */
mqlua_dict_status mqlua_dict_store(mqlua_dict *dict, const char *key, size_t size,
                                   const mqlua_dict_value *value, const mqlua_dict_options *options,
                                   bool *forced);

/* Stores value (NONE: deletes) if the value there is still expected (NONE: absent or expired), in one step.
 * OK, CHANGED or NO_MEMORY. */
mqlua_dict_status mqlua_dict_swap(mqlua_dict *dict, const char *key, size_t size,
                                  const mqlua_dict_value *expected, const mqlua_dict_value *value,
                                  const mqlua_dict_options *options);

/* Adds step to a number; init (NULL: none) is taken where there is none, with ttl milliseconds to live (0:
 * for ever, and it is never evicted). most (NULL: none): a sum above it is not stored. *result is the new
 * value, or with TOO_MUCH the one that is there. OK, ABSENT, NOT_NUMBER, TOO_MUCH or NO_MEMORY. */
mqlua_dict_status mqlua_dict_incr(mqlua_dict *dict, const char *key, size_t size,
                                  const mqlua_dict_value *step, const mqlua_dict_value *init, uint64_t ttl,
                                  const mqlua_dict_value *most, mqlua_dict_value *result, bool *forced);

/* A rate (the generic cell rate algorithm): count cells of interval seconds each, of which burst may come at
 * once. now is the wall clock in seconds; where it was set back, the entry begins as one that has just used
 * its burst. The entry is a number and lives until it says nothing any more. OK         *value: how many more
 * may come at once TOO_MUCH   nothing was taken; *value: seconds until it can be, infinite when count is
 * above burst NOT_NUMBER the key holds something else;   NO_MEMORY. */
mqlua_dict_status mqlua_dict_take_rate(mqlua_dict *dict, const char *key, size_t size, double now,
                                       double interval, double burst, double count, double *value);

/* Never fails. */
void mqlua_dict_delete(mqlua_dict *dict, const char *key, size_t size);

/* *ttl: milliseconds that the entry has left, 0: it does not expire. OK or ABSENT. */
mqlua_dict_status mqlua_dict_ttl(mqlua_dict *dict, const char *key, size_t size, uint64_t *ttl);
/* Gives it ttl milliseconds from now on, 0: it does not expire. OK or ABSENT. */
mqlua_dict_status mqlua_dict_expire(mqlua_dict *dict, const char *key, size_t size, uint64_t ttl);

/* Lists of numbers and texts (dict_list.c). push never evicts; *length is the new length. OK, NOT_LIST or
 * NO_MEMORY. */
mqlua_dict_status mqlua_dict_push(mqlua_dict *dict, const char *key, size_t size, bool left,
                                  const mqlua_dict_value *value, size_t *length);
/* Takes a value away. OK, ABSENT, NOT_LIST or NO_MEMORY (then it stays). An empty list is no entry. */
mqlua_dict_status mqlua_dict_pop(mqlua_dict *dict, const char *key, size_t size, bool left,
                                 mqlua_dict_scratch *scratch, mqlua_dict_value *value);
/* *length is 0 where there is no entry. OK or NOT_LIST. */
mqlua_dict_status mqlua_dict_length(mqlua_dict *dict, const char *key, size_t size, size_t *length);

/* Keys that have not expired (dict_scan.c), at most most (0: all), packed: a size_t and so many bytes each.
 * The caller frees *keys. False when memory is out. Keys that are stored or deleted meanwhile may or may not
 * be among them. */
bool mqlua_dict_keys(mqlua_dict *dict, size_t most, char **keys, size_t *count);

/* All entries have expired from now on; they are still there for stale reads. */
void mqlua_dict_flush(mqlua_dict *dict);
/* Removes expired entries, at most most (0: all). How many. */
size_t mqlua_dict_sweep(mqlua_dict *dict, size_t most);

/* Another capacity, at most what the dictionary was made for. Growing keeps everything, shrinking evicts as
 * storing does. False: it is more than that, or entries that never go take more; then the capacity is as
 * before. One thread at a time. */
bool mqlua_dict_resize(mqlua_dict *dict, size_t capacity);

typedef struct mqlua_dict_stats {
    size_t capacity, used; /* bytes */
    size_t entries;        /* expired ones that are still there included */
    uint64_t hits, misses, stored, evicted, expired, refused;
    uint64_t changes; /* grows with every write: whether there is something to save */
} mqlua_dict_stats;
void mqlua_dict_get_stats(mqlua_dict *dict, mqlua_dict_stats *stats);

/* Writes what has not expired to file (dict_save.c), with a checksum; wall is the time, in milliseconds since
 * 1970. Others may write meanwhile: each entry is whole, but not all of them are of the same moment. False:
 * the file or memory failed. */
bool mqlua_dict_save(mqlua_dict *dict, FILE *file, uint64_t wall);

/* Adds what bytes, once written by mqlua_dict_save, have and the dictionary lacks, as far as it fits. Lives
 * go on from then in the time of wall; a wall that is earlier takes none away. False with *error (malloc'ed)
 * when the bytes are damaged; nothing is added then, unless the checksum is right all the same. */
bool mqlua_dict_load(mqlua_dict *dict, const char *bytes, size_t size, uint64_t wall, char **error);
