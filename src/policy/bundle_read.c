/* SPDX-License-Identifier: MIT */
#include "policy/bundle_internal.h"
#include "policy/error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TRIES = 5 };

/* What a scan found: the same list twice, before and after reading, means that nothing moved in between.
 * Comparing identities also notices a symbolic link that points elsewhere now, as when a config map of
 * Kubernetes is renewed. */
typedef struct found {
    char *name;
    struct stat st;
} found;

typedef struct listing {
    found *items;
    size_t count, room;
    struct stat chain[MQLUA_BUNDLE_DEPTH + 1]; /* the folders above, to see a link that leads back up */
    mqlua_bundle *bundle;                      /* told about the owners of folders */
    char **error;
} listing;

bool mqlua_bundle_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* One attempt. 1 read, 0 it changed meanwhile, -1 error (errno, or *error). */
static int read_once(int fd, char **text, size_t *size, struct stat *st, char **error)
{
    struct stat after;
    if (fstat(fd, st) < 0)
        return -1;
    if (!S_ISREG(st->st_mode)) {
        mqlua_error_set(error, "not a regular file");
        return -1;
    }
    if (st->st_size > MQLUA_BUNDLE_FILE_BYTES) {
        mqlua_error_set(error, "larger than %d MB", MQLUA_BUNDLE_FILE_BYTES >> 20);
        return -1;
    }
    size_t want = (size_t)st->st_size, got = 0;
    char *buffer = malloc(want + 1);
    if (!buffer)
        return -1;
    for (;;) { /* one byte more than expected, so that a file that grew is seen */
        ssize_t n = pread(fd, buffer + got, want + 1 - got, (off_t)got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            free(buffer);
            return -1;
        }
        got += (size_t)n;
        if (n == 0 || got > want)
            break;
    }
    if (got != want || fstat(fd, &after) < 0 || !mqlua_bundle_same(st, &after)) {
        free(buffer);
        return 0;
    }
    buffer[got] = 0;
    *text = buffer;
    *size = got;
    return 1;
}

static void pause_a_little(int try)
{
    struct timespec time = {.tv_nsec = 20000000L * (try + 1)};
    nanosleep(&time, NULL);
}

char *mqlua_bundle_read(int dirfd, const char *path, size_t *size, struct stat *st, char **error)
{
    char *text = NULL;
    for (int try = 0; try < TRIES; try++) {
        if (try)
            pause_a_little(try);
        int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        int result = fd < 0 ? -1 : read_once(fd, &text, size, st, error);
        int why = errno;
        if (fd >= 0)
            close(fd);
        if (result > 0)
            return text;
        if (result < 0) {
            mqlua_error_set(error, "%s", strerror(why));
            errno = why;
            return NULL;
        }
    }
    mqlua_error_set(error, "changes while it is read");
    errno = EAGAIN;
    return NULL;
}

static bool is_lua(const char *name)
{
    size_t size = strlen(name);
    return size > 4 && strcmp(name + size - 4, ".lua") == 0;
}

static bool list_add(listing *list, const char *name, const struct stat *st)
{
    if (list->count == MQLUA_BUNDLE_FILES) {
        mqlua_error_set(list->error, "%s: more than %d Lua files", list->bundle->folder, MQLUA_BUNDLE_FILES);
        return false;
    }
    if (list->count == list->room) {
        size_t room = list->room ? list->room * 2 : 32;
        found *grown = realloc(list->items, room * sizeof *grown);
        if (!grown)
            return false;
        list->items = grown;
        list->room = room;
    }
    found *item = &list->items[list->count];
    item->st = *st;
    item->name = strdup(name);
    list->count += item->name != NULL;
    return item->name != NULL;
}

static void list_free(listing *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].name);
    free(list->items);
    list->items = NULL;
    list->count = list->room = 0;
}

static bool list_folder(listing *list, int fd, const char *prefix, int depth);

/* A folder in the folder; one that was met on the way down is a link in a circle. */
static bool list_subfolder(listing *list, int parent, const char *name, const char *path, int depth)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return true;
    if (fd < 0) {
        mqlua_error_set(list->error, "%s/%s: %s", list->bundle->folder, path, strerror(errno));
        return false;
    }
    return list_folder(list, fd, path, depth + 1);
}

/* Goes through fd, which it closes. */
static bool list_folder(listing *list, int fd, const char *prefix, int depth)
{
    struct stat *self = &list->chain[depth];
    bool good = fstat(fd, self) == 0;
    for (int i = 0; good && i < depth; i++) {
        if (list->chain[i].st_dev == self->st_dev && list->chain[i].st_ino == self->st_ino) {
            close(fd);
            return true;
        }
    }
    DIR *folder = good ? fdopendir(fd) : NULL;
    if (!folder) {
        mqlua_error_set(list->error, "%s/%s: %s", list->bundle->folder, prefix, strerror(errno));
        close(fd);
        return false;
    }
    mqlua_bundle_note_owner(list->bundle, self);
    struct dirent *item;
    while (good && (errno = 0, item = readdir(folder))) {
        char path[PATH_MAX];
        struct stat st;
        if (item->d_name[0] == '.')
            continue;
        int size = snprintf(path, sizeof path, "%s%s%s", prefix, *prefix ? "/" : "", item->d_name);
        if (size >= (int)sizeof path || fstatat(fd, item->d_name, &st, 0) < 0)
            continue; /* a dangling link, or just deleted: require will say what is missing */
        if (S_ISDIR(st.st_mode) && depth < MQLUA_BUNDLE_DEPTH)
            good = list_subfolder(list, fd, item->d_name, path, depth);
        else if (S_ISREG(st.st_mode) && is_lua(path))
            good = list_add(list, path, &st);
    }
    closedir(folder);
    return good;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const found *)a)->name, ((const found *)b)->name);
}

static bool list_all(listing *list, char **error)
{
    list->error = error;
    int fd = openat(list->bundle->folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || !list_folder(list, fd, "", 0)) {
        mqlua_error_set(error, "%s: %s", list->bundle->folder, strerror(fd < 0 ? errno : ENOMEM));
        return false;
    }
    if (list->count)
        qsort(list->items, list->count, sizeof *list->items, by_name);
    return true;
}

static bool same_listing(const listing *a, const listing *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++)
        same = strcmp(a->items[i].name, b->items[i].name) == 0 &&
               mqlua_bundle_same(&a->items[i].st, &b->items[i].st);
    return same;
}

/* Does the folder's name still lead to the folder that is open? */
static bool folder_stays(const mqlua_bundle *bundle)
{
    struct stat now;
    return stat(bundle->folder, &now) == 0 && now.st_dev == bundle->folder_st.st_dev &&
           now.st_ino == bundle->folder_st.st_ino;
}

static bool open_folder(mqlua_bundle *bundle, char **error)
{
    if (bundle->folder_fd >= 0)
        close(bundle->folder_fd);
    bundle->folder_fd = open(bundle->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (bundle->folder_fd >= 0 && fstat(bundle->folder_fd, &bundle->folder_st) == 0)
        return true;
    mqlua_error_set(error, "%s: %s", bundle->folder, strerror(errno));
    return false;
}

/* 1 done, 0 something moved, -1 error. */
static int scan_once(mqlua_bundle *bundle, char **error)
{
    listing before = {.bundle = bundle}, after = {.bundle = bundle};
    int result = -1;
    mqlua_bundle_clear(bundle);
    if (!open_folder(bundle, error) || !list_all(&before, error))
        goto out;
    for (size_t i = 0; i < before.count; i++) {
        struct stat st;
        size_t size;
        const char *name = before.items[i].name;
        char *why = NULL;
        char *text = mqlua_bundle_read(bundle->folder_fd, name, &size, &st, &why);
        if (!text && errno == ENOENT) {
            result = 0;
            free(why);
            goto out;
        }
        if (!text) {
            mqlua_error_set(error, "%s/%s: %s", bundle->folder, name, why ? why : "not enough memory");
            free(why);
            goto out;
        }
        if (!mqlua_bundle_add(bundle, name, MQLUA_FILE_LUA, text, size, &st, error))
            goto out;
        before.items[i].st = st;
    }
    if (!list_all(&after, error))
        goto out;
    result = same_listing(&before, &after) && folder_stays(bundle);
out:
    list_free(&before);
    list_free(&after);
    return result;
}

bool mqlua_bundle_scan(mqlua_bundle *bundle, char **error)
{
    int result = 0;
    for (int try = 0; try < TRIES && result == 0; try++) {
        if (try)
            pause_a_little(try);
        result = scan_once(bundle, error);
    }
    if (result == 0)
        mqlua_error_set(error, "%s: changes while it is read", bundle->folder);
    if (result <= 0 || bundle->entry)
        return result > 0;
    /* The entry file need not end in .lua; when it is missing, this says so. */
    return mqlua_bundle_file(bundle, bundle->entry_name, MQLUA_FILE_LUA, error) != NULL;
}
