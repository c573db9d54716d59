/* SPDX-License-Identifier: MIT */

#include "vm/files.h"
#include "base/error.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { DESCRIPTOR_PATH = 40 };

static int fail(char error[MQLUA_FILES_ERROR], const char *path, int number, const char *reason)
{
    snprintf(error, MQLUA_FILES_ERROR, "%.300s: %s", path, reason ? reason : mqlua_error_text(number));
    errno = number;
    return -1;
}

static void close_quietly(int fd)
{
    int kept = errno;
    close(fd);
    errno = kept;
}

/* Is path the folder, or below it? Both are absolute and without links. */
static bool is_below(const char *path, const char *folder)
{
    size_t size = strlen(folder);
    while (size && folder[size - 1] == '/')
        size--;
    return strncmp(path, folder, size) == 0 && (path[size] == '/' || !path[size]);
}

/* Where the descriptor leads. False without /proc. */
static bool real_path(int fd, char path[PATH_MAX])
{
    char link[DESCRIPTOR_PATH];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    path[size > 0 ? size : 0] = 0;
    return size > 0 && path[0] == '/';
}

/* What the kernel makes up looks like regular files. */
static bool is_of_kernel(int fd, const char *path)
{
    static const char *const folders[] = {"/proc", "/sys", "/dev"};
    static const unsigned types[] = {0x9fa0,     0x62656572, 0x64626720, 0x74726163, 0x27e0eb,  0x63677270,
                                     0x73636673, 0xcafe4a11, 0x62656570, 0x6165676c, 0xde5e81e4};
    struct statfs fs;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if (is_below(path, folders[i]) && !is_below(path, "/dev/shm"))
            return true;
    if (fstatfs(fd, &fs))
        return true;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if ((unsigned)fs.f_type == types[i])
            return true;
    return false;
}

static bool in_list(char *const *folders, const char *path)
{
    char real[PATH_MAX];
    for (; folders && *folders; folders++)
        if (realpath(*folders, real) && is_below(path, real) && strcmp(path, real) != 0)
            return true;
    return false;
}

/* Is what the descriptor (O_PATH) leads to, plus "/" and leaf where there is one, within the lists? */
static bool may_use(const mqlua_files *files, int fd, const char *leaf, bool writing)
{
    char path[PATH_MAX];
    if (!real_path(fd, path) || is_of_kernel(fd, path))
        return false;
    size_t size = strlen(path);
    if (leaf && snprintf(path + size, sizeof path - size, "/%s", leaf) >= (int)(sizeof path - size))
        return false;
    return in_list(files->write, path) || (!writing && in_list(files->read, path));
}

static const char *outside(bool writing)
{
    return writing ? "not below a folder that files.write of the settings names"
                   : "not below a folder that files.read of the settings names";
}

/* Opens what O_PATH found and what was judged by it: no other file can come in between. */
static int reopen(int found, int how)
{
    char link[DESCRIPTOR_PATH];
    snprintf(link, sizeof link, "/proc/self/fd/%d", found);
    int access = !(how & MQLUA_FILES_WRITE) ? O_RDONLY : how & MQLUA_FILES_READ ? O_RDWR : O_WRONLY;
    int append = how & MQLUA_FILES_APPEND ? O_APPEND : 0;
    int fd = open(link, access | append | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0 && (how & MQLUA_FILES_TRUNCATE) && ftruncate(fd, 0)) {
        close_quietly(fd);
        fd = -1;
    }
    return fd;
}

static int open_found(const mqlua_files *files, int found, const char *path, int how, char *error)
{
    struct stat st;
    bool writing = how & MQLUA_FILES_WRITE;
    if (fstat(found, &st))
        return fail(error, path, errno, NULL);
    if (!may_use(files, found, NULL, writing))
        return fail(error, path, EACCES, outside(writing));
    if (!S_ISREG(st.st_mode))
        return fail(error, path, EACCES, "not a regular file");
    if (how & MQLUA_FILES_NEW)
        return fail(error, path, EEXIST, NULL);
    int fd = reopen(found, how);
    return fd >= 0 ? fd : fail(error, path, errno, NULL);
}

/* The folder of path (O_PATH), with *leaf the name in it; -1 with errno. */
static int open_parent(const char *path, const char **leaf)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    *leaf = slash + 1;
    size_t size = slash == path ? 1 : (size_t)(slash - path);
    if (!**leaf || !strcmp(*leaf, ".") || !strcmp(*leaf, "..") || size >= sizeof folder) {
        errno = size >= sizeof folder ? ENAMETOOLONG : EISDIR;
        return -1;
    }
    memcpy(folder, path, size);
    folder[size] = 0;
    return open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static int create(const mqlua_files *files, const char *path, int how, char *error)
{
    const char *leaf;
    int parent = open_parent(path, &leaf);
    if (parent < 0)
        return fail(error, path, errno, NULL);
    if (!may_use(files, parent, leaf, true)) {
        close(parent);
        return fail(error, path, EACCES, outside(true));
    }
    int access = how & MQLUA_FILES_READ ? O_RDWR : O_WRONLY;
    int append = how & MQLUA_FILES_APPEND ? O_APPEND : 0;
    int fd =
        openat(parent, leaf,
               access | append | O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0640);
    close_quietly(parent);
    return fd >= 0 ? fd : fail(error, path, errno, NULL);
}

/* path is absolute. */
static int open_absolute(const mqlua_files *files, const char *path, int how, char *error)
{
    int found = open(path, O_PATH | O_CLOEXEC);
    if (found < 0 && errno == ENOENT && (how & MQLUA_FILES_CREATE))
        return create(files, path, how, error);
    if (found < 0)
        return fail(error, path, errno, NULL);
    int fd = open_found(files, found, path, how, error);
    close_quietly(found);
    return fd;
}

/* The folder for writing may not have been needed before. */
static void make_folders(char *const *folders)
{
    for (; folders && *folders; folders++)
        mkdir(*folders, 0700);
}

typedef int use(const mqlua_files *files, const char *path, int how, char *error);

/* Calls function with the absolute path; with a relative one below each folder, until one is not missing. */
static int each_place(const mqlua_files *files, const char *path, int how, char *error, use *function)
{
    char *const *const lists[] = {how & MQLUA_FILES_WRITE ? NULL : files->read, files->write};
    char full[PATH_MAX];
    if (how & MQLUA_FILES_CREATE)
        make_folders(files->write);
    if (path[0] == '/')
        return function(files, path, how, error);
    int result = fail(error, path, ENOENT, NULL);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        for (char *const *folder = lists[i]; folder && *folder; folder++) {
            if (snprintf(full, sizeof full, "%s/%s", *folder, path) >= (int)sizeof full)
                return fail(error, path, ENAMETOOLONG, NULL);
            result = function(files, full, how, error);
            if (result >= 0 || errno != ENOENT)
                return result;
        }
    return result;
}

int mqlua_files_descriptor(const mqlua_files *files, const char *path, int how, char error[MQLUA_FILES_ERROR])
{
    return each_place(files, path, how, error, open_absolute);
}

/* The folder of a regular file that may be written, or one of a name that is still free. */
static int judged_parent(const mqlua_files *files, const char *path, bool missing, const char **leaf,
                         char *error)
{
    struct stat st;
    int parent = open_parent(path, leaf);
    if (parent < 0)
        return fail(error, path, errno, NULL);
    bool there = fstatat(parent, *leaf, &st, AT_SYMLINK_NOFOLLOW) == 0;
    int number = 0;
    const char *reason = NULL;
    if (!may_use(files, parent, *leaf, true))
        number = EACCES, reason = outside(true);
    else if (there && !S_ISREG(st.st_mode))
        number = EACCES, reason = "not a regular file";
    else if (!there && !missing)
        number = ENOENT;
    if (!number)
        return parent;
    close(parent);
    return fail(error, path, number, reason);
}

static int remove_absolute(const mqlua_files *files, const char *path, int how, char *error)
{
    const char *leaf;
    int parent = judged_parent(files, path, false, &leaf, error);
    if (parent < 0)
        return -1;
    int result = unlinkat(parent, leaf, 0);
    close_quietly(parent);
    return result == 0 ? 0 : fail(error, path, errno, NULL);
}

int mqlua_files_remove(const mqlua_files *files, const char *path, char error[MQLUA_FILES_ERROR])
{
    return each_place(files, path, MQLUA_FILES_WRITE, error, remove_absolute);
}

/* The folder of a relative path is that of the first folder for writing. */
static const char *absolute(const mqlua_files *files, const char *path, char full[PATH_MAX])
{
    if (path[0] == '/' || !files->write || !files->write[0])
        return path;
    return snprintf(full, PATH_MAX, "%s/%s", files->write[0], path) < PATH_MAX ? full : NULL;
}

int mqlua_files_rename(const mqlua_files *files, const char *a, const char *b, char error[MQLUA_FILES_ERROR])
{
    char full_a[PATH_MAX], full_b[PATH_MAX];
    const char *from = absolute(files, a, full_a), *to = absolute(files, b, full_b), *leaf, *new_leaf;
    if (!from || !to)
        return fail(error, from ? b : a, ENAMETOOLONG, NULL);
    if (from[0] != '/' || to[0] != '/')
        return fail(error, from[0] == '/' ? b : a, EACCES, outside(true));
    int old_parent = judged_parent(files, from, false, &leaf, error);
    if (old_parent < 0)
        return -1;
    int parent = judged_parent(files, to, true, &new_leaf, error);
    int result = parent < 0 ? -1 : renameat(old_parent, leaf, parent, new_leaf);
    if (parent >= 0 && result)
        fail(error, a, errno, NULL);
    if (parent >= 0)
        close_quietly(parent);
    close_quietly(old_parent);
    return result;
}
