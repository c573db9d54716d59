/* SPDX-License-Identifier: MIT */
#include "base/lookup.h"
#include "base/email.h"
#include "base/error.h"
#include "base/mark.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { KEY_WORDS = (MQLUA_LOOKUP_KEY + 7) / 8 };

/* Keys and values stay in the file's text: an entry only says where. Keys that are spelt otherwise than they
 * are known by are written behind it, as it were. */
typedef struct entry {
    uint32_t key, value; /* offsets in text; of a key, from size on, in spelt */
    uint32_t key_size, value_size;
} entry;

/* Open addressing with linear probing; at most half full. */
typedef struct place {
    uint32_t hash;
    uint32_t index; /* of the entry, from 1; 0: free */
} place;

struct mqlua_lookup {
    const char *text;
    size_t size;
    char *spelt;
    size_t spelt_size, spelt_room;
    entry *entries;
    place *places;
    size_t count, room;
    size_t mask; /* places - 1 */
};

/* Up to eight bytes (the rest is zero) with the letters A to Z in lower case, all at a time: one that is a
 * letter differs in its highest bit when 'A' is taken from it and when 'Z' + 1 is. */
static inline uint64_t lower(const char *text, size_t size)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = 0x80 * ones;
    uint64_t bytes = 0;
    if (size >= sizeof bytes)
        memcpy(&bytes, text, sizeof bytes);
    else
        memcpy(&bytes, text, size);
    uint64_t seven = bytes & ~high;
    uint64_t from_a = seven + (0x80 - 'A') * ones, behind_z = seven + (0x7f - 'Z') * ones;
    return bytes | (((from_a ^ behind_z) & ~bytes & high) >> 2);
}

static inline bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* lowered: in words, the last one filled up with zeros. */
static uint32_t hash_key(const char *key, size_t size, uint64_t *lowered)
{
    for (size_t i = 0; i < size; i += 8)
        lowered[i / 8] = lower(key + i, size - i);
    return (uint32_t)XXH3_64bits(lowered, size);
}

static bool same_key(const char *key, const uint64_t *lowered, size_t size)
{
    size_t i = 0;
    while (i < size && lower(key + i, size - i) == lowered[i / 8])
        i += 8;
    return i >= size;
}

static const char *key_of(const mqlua_lookup *lookup, const entry *e)
{
    return e->key < lookup->size ? lookup->text + e->key : lookup->spelt + (e->key - lookup->size);
}

/* Where key is, or the free place where it belongs. lowered is the key in lower case. */
static place *find(const mqlua_lookup *lookup, const uint64_t *lowered, size_t size, uint32_t hash)
{
    for (size_t at = hash & lookup->mask;; at = (at + 1) & lookup->mask) {
        place *here = &lookup->places[at];
        if (!here->index)
            return here;
        const entry *e = &lookup->entries[here->index - 1];
        if (here->hash == hash && e->key_size == size && same_key(key_of(lookup, e), lowered, size))
            return here;
    }
}

/* key is in its canonical form. */
static bool get(const mqlua_lookup *lookup, const char *key, size_t size, const char **value,
                size_t *value_size)
{
    uint64_t lowered[KEY_WORDS];
    if (size > MQLUA_LOOKUP_KEY || !lookup->count)
        return false;
    uint32_t hash = hash_key(key, size, lowered);
    const place *here = find(lookup, lowered, size, hash);
    if (!here->index)
        return false;
    const entry *e = &lookup->entries[here->index - 1];
    if (value) {
        *value = lookup->text + e->value;
        *value_size = e->value_size;
    }
    return true;
}

bool mqlua_lookup_address(const mqlua_lookup *lookup, const char *address, size_t size, const char **value,
                          size_t *value_size)
{
    char spelt[MQLUA_EMAIL_KEY];
    mqlua_email email;
    mqlua_email_read(&email, address, size);
    const char *key = mqlua_email_key(&email, &size, spelt);
    const char *domain = email.domain > email.local_end ? memrchr(key, '@', size) : NULL;
    if (!domain)
        return false;
    return get(lookup, key, size, value, value_size) ||
           (domain > key && get(lookup, domain, size - (size_t)(domain - key), value, value_size));
}

bool mqlua_lookup_get(const mqlua_lookup *lookup, const char *key, size_t size, const char **value,
                      size_t *value_size)
{
    char spelt[MQLUA_EMAIL_KEY];
    mqlua_email email;
    mqlua_email_read(&email, key, size);
    key = mqlua_email_key(&email, &size, spelt);
    return get(lookup, key, size, value, value_size);
}

size_t mqlua_lookup_count(const mqlua_lookup *lookup)
{
    return lookup->count;
}

void mqlua_lookup_free(mqlua_lookup *lookup)
{
    if (!lookup)
        return;
    free(lookup->spelt);
    free(lookup->entries);
    free(lookup->places);
    free(lookup);
}

typedef struct parser {
    mqlua_lookup *lookup;
    const char *name;
    size_t line;
    bool map;
    char **error;
} parser;

static size_t line_of(const mqlua_lookup *lookup, uint32_t offset)
{
    size_t line = 1;
    for (uint32_t i = 0; i < offset; i++)
        line += lookup->text[i] == '\n';
    return line;
}

static bool too_long(parser *p)
{
    mqlua_error_set(p->error, "%s:%zu: a key of more than %d bytes", p->name, p->line, MQLUA_LOOKUP_KEY);
    return false;
}

/* Puts the key of e, if it is spelt otherwise than it is known by, behind the others of its kind. */
static bool respell(parser *p, entry *e)
{
    mqlua_lookup *lookup = p->lookup;
    char spelt[MQLUA_EMAIL_KEY];
    size_t size;
    mqlua_email email;
    mqlua_email_read(&email, lookup->text + e->key, e->key_size);
    const char *key = mqlua_email_key(&email, &size, spelt);
    if (key == lookup->text + e->key)
        return true;
    if (size > MQLUA_LOOKUP_KEY)
        return too_long(p);
    size_t needed = lookup->spelt_size + size;
    if (needed > lookup->spelt_room) {
        char *more = realloc(lookup->spelt, 2 * needed);
        if (!more || lookup->size + needed > UINT32_MAX) {
            lookup->spelt = more ? more : lookup->spelt;
            mqlua_error_set(p->error, "%s: not enough memory", p->name);
            return false;
        }
        lookup->spelt = more;
        lookup->spelt_room = 2 * needed;
    }
    memcpy(lookup->spelt + lookup->spelt_size, key, size);
    e->key = (uint32_t)(lookup->size + lookup->spelt_size);
    e->key_size = (uint32_t)size;
    lookup->spelt_size = needed;
    return true;
}

static bool insert(parser *p, const entry *e)
{
    mqlua_lookup *lookup = p->lookup;
    const char *key = key_of(lookup, e);
    uint64_t lowered[KEY_WORDS];
    uint32_t hash = hash_key(key, e->key_size, lowered);
    place *here = find(lookup, lowered, e->key_size, hash);
    if (!here->index) {
        lookup->entries[lookup->count++] = *e;
        *here = (place){hash, (uint32_t)lookup->count};
        return true;
    }
    const entry *old = &lookup->entries[here->index - 1];
    if (old->value_size == e->value_size &&
        !memcmp(lookup->text + old->value, lookup->text + e->value, e->value_size))
        return true;
    mqlua_error_set(p->error, "%s:%zu: '%.*s' has another value in line %zu", p->name, p->line,
                    e->key_size > 100 ? 100 : (int)e->key_size, key, line_of(lookup, old->value));
    return false;
}

/* Behind the first word. The local part of an address may have blanks in quotes. */
static const char *key_end(const char *from, const char *to)
{
    const char *end = from;
    if (*from == '"') {
        for (end++; end < to && *end != '"'; end++)
            end += *end == '\\';
        end = end + 1 < to && end[1] == '@' ? end + 1 : from;
    }
    while (end < to && !blank(*end))
        end++;
    return end;
}

/* One line without its end, from and to after trimming. */
static bool parse_line(parser *p, const char *from, const char *to)
{
    const char *text = p->lookup->text;
    while (from < to && blank(*from))
        from++;
    while (to > from && blank(to[-1]))
        to--;
    if (from == to || *from == '#')
        return true;
    if (memchr(from, 0, (size_t)(to - from))) {
        mqlua_error_set(p->error, "%s:%zu: a NUL byte: this is no text file", p->name, p->line);
        return false;
    }
    const char *end = key_end(from, to);
    const char *value = end;
    while (value < to && blank(*value))
        value++;
    if (end - from > MQLUA_LOOKUP_KEY)
        return too_long(p);
    if (!p->map && value < to && *value != '#') {
        mqlua_error_set(p->error,
                        "%s:%zu: more than one word: in a set a line is one key (mq.map reads values)",
                        p->name, p->line);
        return false;
    }
    if (p->map && value == to) {
        mqlua_error_set(p->error, "%s:%zu: '%.*s' has no value (mq.set reads keys alone)", p->name, p->line,
                        end - from > 100 ? 100 : (int)(end - from), from);
        return false;
    }
    entry e = {.key = (uint32_t)(from - text), .key_size = (uint32_t)(end - from)};
    if (p->map) {
        e.value = (uint32_t)(value - text);
        e.value_size = (uint32_t)(to - value);
    }
    return respell(p, &e) && insert(p, &e);
}

/* Room for as many entries as there are lines. */
static mqlua_lookup *make_room(const char *text, size_t size)
{
    mqlua_lookup *lookup = calloc(1, sizeof *lookup);
    if (!lookup)
        return NULL;
    size_t lines = 1, places = 4;
    for (const char *at = text; (at = memchr(at, '\n', size - (size_t)(at - text))); at++)
        lines++;
    while (places < lines * 2)
        places *= 2;
    lookup->text = text;
    lookup->size = size;
    lookup->room = lines;
    lookup->mask = places - 1;
    lookup->entries = calloc(lines, sizeof *lookup->entries);
    lookup->places = calloc(places, sizeof *lookup->places);
    if (lookup->entries && lookup->places)
        return lookup;
    mqlua_lookup_free(lookup);
    return NULL;
}

/* Comments and blank lines took room too; what stays for the life of the policy is made to fit. */
static void give_back(mqlua_lookup *lookup)
{
    entry *fit = lookup->count ? realloc(lookup->entries, lookup->count * sizeof *fit) : NULL;
    if (fit)
        lookup->entries = fit;
    char *spelt = lookup->spelt_size ? realloc(lookup->spelt, lookup->spelt_size) : NULL;
    if (spelt)
        lookup->spelt = spelt;
}

mqlua_lookup *mqlua_lookup_parse(const char *text, size_t size, const char *name, bool map, char **error)
{
    const char *foreign = mqlua_mark_foreign(text, size);
    if (foreign) {
        mqlua_error_set(error, "%s:1: the file is %s: save it as UTF-8", name, foreign);
        return NULL;
    }
    mqlua_lookup *lookup = size < UINT32_MAX ? make_room(text, size) : NULL;
    if (!lookup) {
        mqlua_error_set(error, "%s: not enough memory", name);
        return NULL;
    }
    parser p = {.lookup = lookup, .name = name, .map = map, .error = error};
    const char *at = text + mqlua_mark_size(text, size), *end = text + size;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline ? newline : end;
        p.line++;
        if (!parse_line(&p, at, stop)) {
            mqlua_lookup_free(lookup);
            return NULL;
        }
        at = newline ? newline + 1 : end;
    }
    give_back(lookup);
    return lookup;
}
