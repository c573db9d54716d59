/* SPDX-License-Identifier: MIT */
#include "policy/replace.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

FILE *mqlua_open_regular(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return NULL;
    bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    FILE *file = regular ? fdopen(fd, "r") : NULL;
    int why = regular ? errno : S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
    if (!file)
        close(fd);
    errno = why;
    return file;
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
    int fd = open(beside, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
    if (fd < 0) {
        mqlua_error_set(error, "%s", mqlua_error_text(errno));
        return -1;
    }
    if (fstat(fd, &ours) < 0 || !S_ISREG(ours.st_mode)) {
        mqlua_error_set(error, "%s is not a regular file", beside);
        close(fd);
        return -1;
    }
    /* Whoever had the lock before may have renamed the file into place: then it is no longer ours to
     * truncate. */
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 || stat(beside, &there) < 0 || ours.st_ino != there.st_ino ||
        ours.st_dev != there.st_dev) {
        mqlua_error_set(error, "another process is writing it");
        close(fd);
        return -1;
    }
    if (fchmod(fd, 0600) == 0 && ftruncate(fd, 0) == 0)
        return fd;
    mqlua_error_set(error, "%s", mqlua_error_text(errno));
    close(fd);
    return -1;
}

/* The steps in their order. False with *error. */
static bool replace(const char *beside, const char *path, bool (*write)(int fd, const void *ud, char **error),
                    const void *ud, char **error)
{
    int fd = open_beside(beside, error);
    if (fd < 0)
        return false;
    bool written = write(fd, ud, error);
    bool renamed = written && fsync(fd) == 0 && rename(beside, path) == 0;
    bool good = renamed && sync_folder(path);
    if (written && !good)
        mqlua_error_set(error, "%s", mqlua_error_text(errno));
    if (!renamed)
        unlink(beside); /* on a full disk its bytes are wanted */
    close(fd);          /* last: the lock goes with it */
    return good;
}

bool mqlua_replace_file(const char *path, bool (*write)(int fd, const void *ud, char **error), const void *ud,
                        char **error)
{
    char *beside = NULL, *why = NULL;
    *error = NULL;
    if (asprintf(&beside, "%s.new", path) < 0) {
        mqlua_error_set(error, "%s: not enough memory", path);
        return false;
    }
    bool good = replace(beside, path, write, ud, &why);
    if (!good)
        mqlua_error_set(error, "%s: %s", path, why ? why : "not enough memory");
    free(why);
    free(beside);
    return good;
}
