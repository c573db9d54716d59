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
        errno = EINVAL;
        return -1;
    }
    if (st->st_size > MQLUA_BUNDLE_FILE_BYTES) {
        mqlua_error_set(error, "larger than %d MB", MQLUA_BUNDLE_FILE_BYTES >> 20);
        errno = EFBIG;
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
            mqlua_error_set(error, "%s", mqlua_error_text(why));
            errno = why;
            return NULL;
        }
    }
    mqlua_error_set(error,
                    "is being written: what is open for writing, or changes while it is read, is not loaded");
    errno = EAGAIN;
    return NULL;
}

static bool open_folder(mqlua_bundle *bundle, char **error)
{
    if (bundle->folder_fd >= 0)
        close(bundle->folder_fd);
    bundle->folder_fd = open(bundle->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (bundle->folder_fd >= 0 && fstat(bundle->folder_fd, &bundle->folder_st) == 0)
        return true;
    mqlua_error_set(error, "%s: %s", bundle->folder, mqlua_error_text(errno));
    return false;
}

bool mqlua_bundle_begin(mqlua_bundle *bundle, char **error)
{
    if (!open_folder(bundle, error))
        return false;
    mqlua_bundle_note_owner(bundle, &bundle->folder_st);
    return mqlua_bundle_file(bundle, bundle->entry_name, MQLUA_FILE_LUA, error) != NULL;
}

bool mqlua_bundle_note_all(mqlua_bundle *bundle)
{
    mqlua_listing listing = {0};
    bool good = mqlua_listing_read(&listing, bundle->folder_fd, bundle->folder, NULL);
    for (size_t i = 0; i < listing.count; i++)
        mqlua_bundle_note_owner(bundle, &listing.files[i].st);
    for (size_t i = 0; i < listing.folder_count; i++)
        mqlua_bundle_note_owner(bundle, &listing.folders[i].st);
    mqlua_listing_free(&listing);
    return good;
}
