/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Where a policy may read and write files: regular files below the folders that the limits of the vm name. A
 * path is judged by what it leads to once links are followed, and before that is opened for reading or
 * writing: a pipe, a device, a socket, a folder, and what lies in /proc, /sys or /dev is never opened. Any
 * thread.
 */

#include <lua.h>
#include <stddef.h>

/* What the settings say; the lists end with NULL, are borrowed and may themselves be NULL: nothing then. The
 * paths are absolute. */
typedef struct mqlua_files {
    char *const *read;
    char *const *write; /* these may be read as well */
} mqlua_files;

enum { MQLUA_FILES_ERROR = 512 };

/* How a file is opened: as the modes of io.open say. */
enum {
    MQLUA_FILES_READ = 1,
    MQLUA_FILES_WRITE = 2,
    MQLUA_FILES_CREATE = 4,   /* make it when it is missing */
    MQLUA_FILES_TRUNCATE = 8, /* what is in it goes */
    MQLUA_FILES_APPEND = 16,
    MQLUA_FILES_NEW = 32, /* with CREATE: it must be missing */
};

/* A descriptor that the caller closes, or -1 with errno and the reason in error, which names the path and,
 * where that is what is wrong, the setting. A relative path is looked for below each folder in turn. */
int mqlua_files_descriptor(const mqlua_files *files, const char *path, int how,
                           char error[MQLUA_FILES_ERROR]);

/* Removes, or renames from a to b, a regular file. 0, or -1 as above. */
int mqlua_files_remove(const mqlua_files *files, const char *path, char error[MQLUA_FILES_ERROR]);
int mqlua_files_rename(const mqlua_files *files, const char *a, const char *b, char error[MQLUA_FILES_ERROR]);

/* file.c: puts io.open, lines, type, close and tmpfile, and os.remove, rename and tmpname in place. The
 * tables io and os must be there. Raises on lack of memory. */
void mqlua_files_open(lua_State *L);
