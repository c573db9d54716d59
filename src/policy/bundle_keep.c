/* SPDX-License-Identifier: MIT */
#include "policy/bundle_internal.h"
#include "base/error.h"
#include "policy/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/*
 * The kept file: magic with version, then folder, entry name, hash and the number of files, then for each
 * file kind, name and text, then 16 bytes of XXH3 over all that. Numbers are 8 bytes, little-endian; texts
 * are a number and so many bytes. The checksum finds damage, not forgery: who may write the file may write
 * policy.
 */
static const char magic[16] = "mailerq-lua LKG1";

enum { SUM = 16, BUFFER = 1 << 16 };

typedef struct writer {
    int fd;
    int why; /* errno of the first failure; 0: none */
    size_t used;
    XXH3_state_t state;
    char buffer[BUFFER];
} writer;

static void flush(writer *w)
{
    for (size_t done = 0; done < w->used && !w->why;) {
        ssize_t n = write(w->fd, w->buffer + done, w->used - done);
        if (n > 0)
            done += (size_t)n;
        else if (n < 0 && errno != EINTR)
            w->why = errno;
        else if (n == 0)
            w->why = EIO;
    }
    w->used = 0;
}

static void put(writer *w, const void *data, size_t size)
{
    XXH3_128bits_update(&w->state, data, size);
    for (const char *from = data; size > 0;) {
        size_t part = size < BUFFER - w->used ? size : BUFFER - w->used;
        memcpy(w->buffer + w->used, from, part);
        w->used += part;
        from += part;
        size -= part;
        if (w->used == BUFFER)
            flush(w);
    }
}

static void put_number(writer *w, uint64_t number)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(number >> (8 * i));
    put(w, bytes, sizeof bytes);
}

static void put_text(writer *w, const char *text, size_t size)
{
    put_number(w, size);
    put(w, text, size);
}

bool mqlua_bundle_save(const mqlua_bundle *bundle, int fd, char **error)
{
    writer *w =
        aligned_alloc(_Alignof(writer), sizeof *w); /* the hash's state wants more than malloc gives */
    if (error)
        *error = NULL;
    if (!w || !bundle->sealed) {
        mqlua_error_set(error, w ? "the bundle is not sealed" : "not enough memory");
        free(w);
        return false;
    }
    w->fd = fd;
    w->why = 0;
    w->used = 0;
    XXH3_128bits_reset(&w->state);
    put(w, magic, sizeof magic);
    put_text(w, bundle->folder, strlen(bundle->folder));
    put_text(w, bundle->entry_name, strlen(bundle->entry_name));
    put_text(w, bundle->hash, strlen(bundle->hash));
    put_number(w, bundle->count);
    for (const mqlua_file *file = bundle->files; file; file = file->next) {
        put_number(w, (uint64_t)file->kind);
        put_text(w, file->name, strlen(file->name));
        put_text(w, file->text, file->size);
    }
    XXH128_canonical_t sum;
    XXH128_canonicalFromHash(&sum, XXH3_128bits_digest(&w->state));
    put(w, sum.digest, SUM);
    flush(w);
    int why = w->why;
    free(w);
    if (why)
        mqlua_error_set(error, "%s", mqlua_error_text(why));
    return why == 0;
}

static bool save(int fd, const void *bundle, char **error)
{
    return mqlua_bundle_save(bundle, fd, error);
}

bool mqlua_bundle_keep(const mqlua_bundle *bundle, const char *path, char **error)
{
    return mqlua_replace_file(path, save, bundle, error);
}

typedef struct source {
    const uint8_t *at, *end;
    bool bad;
} source;

static uint64_t get_number(source *s)
{
    uint64_t number = 0;
    if (s->end - s->at < 8) {
        s->bad = true;
        return 0;
    }
    for (int i = 0; i < 8; i++)
        number |= (uint64_t)s->at[i] << (8 * i);
    s->at += 8;
    return number;
}

/* A malloc'ed text of at most most bytes with a NUL behind it; NULL and bad when there is none. */
static char *get_text(source *s, size_t most, bool plain, size_t *size)
{
    uint64_t want = get_number(s);
    if (s->bad || want > most || want > (uint64_t)(s->end - s->at) || (plain && memchr(s->at, 0, want)))
        s->bad = true;
    char *text = s->bad ? NULL : malloc(want + 1);
    if (!text) {
        s->bad = true;
        return NULL;
    }
    memcpy(text, s->at, want);
    text[want] = 0;
    s->at += want;
    *size = want;
    return text;
}

static bool get_file(source *s, mqlua_bundle *bundle, char **error)
{
    size_t name_size, text_size;
    uint64_t kind = get_number(s);
    char *name = get_text(s, 4096, true, &name_size);
    char *text = name ? get_text(s, MQLUA_BUNDLE_FILE_BYTES, false, &text_size) : NULL;
    bool good = text && kind <= MQLUA_FILE_MAP && name_size > 0 &&
                !mqlua_bundle_find(bundle, name, (mqlua_file_kind)kind);
    if (!good)
        free(text);
    else
        good = mqlua_bundle_add(bundle, name, (mqlua_file_kind)kind, text, text_size, NULL, error) != NULL;
    free(name);
    return good;
}

static bool sum_is_right(const uint8_t *data, size_t size)
{
    XXH128_canonical_t sum;
    XXH128_canonicalFromHash(&sum, XXH3_128bits(data, size - SUM));
    return memcmp(sum.digest, data + size - SUM, SUM) == 0;
}

/* Everything between magic and checksum. */
static mqlua_bundle *get_bundle(source *s, char **error)
{
    size_t folder_size, entry_size, hash_size;
    char *folder = get_text(s, 4096, true, &folder_size);
    char *entry = folder ? get_text(s, 4096, true, &entry_size) : NULL;
    char *hash = entry ? get_text(s, 32, true, &hash_size) : NULL;
    uint64_t count = hash ? get_number(s) : 0;
    mqlua_bundle *bundle = NULL;
    if (!s->bad && folder[0] == '/')
        bundle = mqlua_bundle_new(folder, folder_size, entry);
    bool good = bundle != NULL;
    for (uint64_t i = 0; good && i < count; i++)
        good = get_file(s, bundle, error);
    good = good && !s->bad && s->at == s->end && bundle->entry;
    if (good) {
        mqlua_bundle_seal(bundle);
        good = strcmp(bundle->hash, hash) == 0;
    }
    free(folder);
    free(entry);
    free(hash);
    if (good)
        return bundle;
    mqlua_bundle_unref(bundle);
    return NULL;
}

mqlua_bundle *mqlua_bundle_parse(const void *data, size_t size, const char *name, char **error)
{
    *error = NULL;
    if (size < sizeof magic + SUM || memcmp(data, magic, sizeof magic) != 0) {
        mqlua_error_set(error, "%s: not a kept policy, or one of another version", name);
        return NULL;
    }
    if (!sum_is_right(data, size)) {
        mqlua_error_set(error, "%s: damaged (its checksum is wrong)", name);
        return NULL;
    }
    source s = {.at = (const uint8_t *)data + sizeof magic, .end = (const uint8_t *)data + size - SUM};
    mqlua_bundle *bundle = get_bundle(&s, error);
    if (!bundle)
        mqlua_error_set(error, "%s: damaged, or not enough memory", name);
    return bundle;
}

static char *read_all(int fd, struct stat *st, char **error)
{
    size_t got = 0;
    if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode) || st->st_size > (off_t)MQLUA_BUNDLE_BYTES * 2) {
        mqlua_error_set(error, "not a kept policy");
        return NULL;
    }
    char *data = malloc((size_t)st->st_size + 1);
    while (data && got < (size_t)st->st_size) {
        ssize_t n = read(fd, data + got, (size_t)st->st_size - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            mqlua_error_set(error, "%s", n < 0 ? mqlua_error_text(errno) : "cut short");
            free(data);
            return NULL;
        }
        got += (size_t)n;
    }
    if (!data)
        mqlua_error_set(error, "not enough memory");
    return data;
}

mqlua_bundle *mqlua_bundle_restore(const char *path, char **error)
{
    struct stat st;
    char *why = NULL;
    *error = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        mqlua_error_set(error, "%s: %s", path, mqlua_error_text(errno));
        return NULL;
    }
    char *data = read_all(fd, &st, &why);
    close(fd);
    mqlua_bundle *bundle = data ? mqlua_bundle_parse(data, (size_t)st.st_size, path, error) : NULL;
    if (bundle)
        mqlua_bundle_note_owner(bundle, &st);
    else
        mqlua_error_set(error, "%s: %s", path, why ? why : "not enough memory");
    free(why);
    free(data);
    return bundle;
}
