/* SPDX-License-Identifier: MIT */
#include "policy/bundle_internal.h"
#include "policy/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
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
        mqlua_error_set(error, "%s", strerror(why));
    return why == 0;
}

/* Makes a rename last through a crash of the machine. */
static bool sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    bool good = fd >= 0 && fsync(fd) == 0;
    int why = errno;
    if (fd >= 0)
        close(fd);
    free(folder);
    errno = why;
    return good;
}

/* The file that is written beside: always the same name, so that a killed process leaves no more than one
 * behind, and locked, so that two processes do not write into each other's. -1 with *error. */
static int open_beside(const char *beside, char **error)
{
    struct stat ours, there;
    int fd = open(beside, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        mqlua_error_set(error, "%s", strerror(errno));
        return -1;
    }
    /* Whoever had the lock before may have renamed the file into place: then it is no longer ours to
     * truncate. */
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &ours) < 0 || stat(beside, &there) < 0 ||
        ours.st_ino != there.st_ino || ours.st_dev != there.st_dev) {
        mqlua_error_set(error, "another process is writing it");
        close(fd);
        return -1;
    }
    if (fchmod(fd, 0600) == 0 && ftruncate(fd, 0) == 0)
        return fd;
    mqlua_error_set(error, "%s", strerror(errno));
    close(fd);
    return -1;
}

/* The steps in their order. False with *error. */
static bool keep(const mqlua_bundle *bundle, const char *beside, const char *path, char **error)
{
    int fd = open_beside(beside, error);
    if (fd < 0 || !mqlua_bundle_save(bundle, fd, error)) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    bool renamed = fsync(fd) == 0 && rename(beside, path) == 0;
    bool good = renamed && sync_folder(path);
    if (!good)
        mqlua_error_set(error, "%s", strerror(errno));
    if (!renamed)
        unlink(beside);
    close(fd); /* last: the lock goes with it */
    return good;
}

bool mqlua_bundle_keep(const mqlua_bundle *bundle, const char *path, char **error)
{
    char *beside = NULL, *why = NULL;
    *error = NULL;
    if (asprintf(&beside, "%s.new", path) < 0) {
        mqlua_error_set(error, "%s: not enough memory", path);
        return false;
    }
    bool good = keep(bundle, beside, path, &why);
    if (!good)
        mqlua_error_set(error, "%s: %s", path, why ? why : "not enough memory");
    free(why);
    free(beside);
    return good;
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
            mqlua_error_set(error, "%s", n < 0 ? strerror(errno) : "cut short");
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
        mqlua_error_set(error, "%s: %s", path, strerror(errno));
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
