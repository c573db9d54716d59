/* SPDX-License-Identifier: MIT */
#include "policy/bundle_internal.h"
#include "base/error.h"
#include "policy/listing.h"
#include "policy/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TRIES = 5 };

/* One attempt. 1 read, 0 it is being written, -1 error (errno, or *error). */
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
    if (mqlua_writer_has(fd))
        return 0;
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
    if (got != want || fstat(fd, &after) < 0 || !mqlua_listing_same(st, &after)) {
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
    mqlua_error_set(error,
                    "is being written: what is open for writing, or changes while it is read, is not loaded");
    errno = EAGAIN;
    return NULL;
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

/* Reads what the listing names, noting the version that was read. 1 done, 0 something is gone, -1 error. */
static int read_listed(mqlua_bundle *bundle, mqlua_listing *listing, char **error)
{
    for (size_t i = 0; i < listing->count; i++) {
        struct stat st;
        size_t size;
        const char *name = listing->files[i].name;
        char *why = NULL;
        char *text = mqlua_bundle_read(bundle->folder_fd, name, &size, &st, &why);
        if (!text) {
            bool gone = errno == ENOENT;
            if (!gone)
                mqlua_error_set(error, "%s/%s: %s", bundle->folder, name, why ? why : "not enough memory");
            free(why);
            return gone ? 0 : -1;
        }
        mqlua_file *file = mqlua_bundle_add(bundle, name, MQLUA_FILE_LUA, text, size, &st, error);
        if (!file)
            return -1;
        ((mqlua_bundle_file_entry *)file)->scanned = true;
        listing->files[i].st = st;
    }
    return 1;
}

/* 1 done, 0 something moved, -1 error. */
static int scan_once(mqlua_bundle *bundle, char **error)
{
    mqlua_listing before = {0}, after = {0};
    int result = -1;
    mqlua_bundle_clear(bundle);
    if (!open_folder(bundle, error) || !mqlua_listing_read(&before, bundle->folder_fd, bundle->folder, error))
        goto out;
    for (size_t i = 0; i < before.folder_count; i++)
        mqlua_bundle_note_owner(bundle, &before.folders[i].st);
    result = read_listed(bundle, &before, error);
    if (result <= 0)
        goto out;
    if (!mqlua_listing_read(&after, bundle->folder_fd, bundle->folder, error))
        result = -1;
    else
        result = mqlua_listing_equal(&before, &after) && folder_stays(bundle);
out:
    mqlua_listing_free(&before);
    mqlua_listing_free(&after);
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
