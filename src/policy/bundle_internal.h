/* SPDX-License-Identifier: MIT */
#pragma once

/* What the files bundle*.c share. */

#include "policy/bundle.h"
#include "policy/listing.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

enum {
    MQLUA_BUNDLE_FILES = MQLUA_LISTING_FILES,
    MQLUA_BUNDLE_FILE_BYTES = 64 << 20, /* of one file */
    MQLUA_BUNDLE_BYTES = 1 << 30,       /* of all of them */
};

/* A file with what identifies the version that was read. */
typedef struct mqlua_bundle_file_entry {
    mqlua_file file; /* first: a mqlua_file is one of these */
    struct stat st;
    bool searched; /* what it requires by a literal name is in the bundle */
} mqlua_bundle_file_entry;

/* A file that was asked for and could not be read: when it appears, the policy means something else. */
typedef struct mqlua_bundle_missing {
    char *name;  /* as mqlua_file.name */
    bool absent; /* it was not there, and not just unreadable */
    struct mqlua_bundle_missing *next;
} mqlua_bundle_missing;

struct mqlua_bundle {
    atomic_uint refs;
    pthread_mutex_t parsing; /* guards file->parsed once the bundle is shared */
    char *folder;
    char *entry_name;
    int folder_fd; /* while open; else -1 */
    struct stat folder_st;
    mqlua_file *files, **tail;
    mqlua_file *entry;
    mqlua_bundle_missing *missing;
    size_t count;
    size_t bytes;
    bool sealed;
    bool mixed_owners; /* or others may write */
    bool any_owner;    /* owner is set */
    uid_t owner;
    char hash[33];
};

/* An empty bundle with one reference; folder is an absolute path. NULL when memory is out. */
mqlua_bundle *mqlua_bundle_new(const char *folder, size_t folder_size, const char *entry_name);

/* Adds a file; text (malloc'ed, size bytes and a NUL) is stolen, also on failure. NULL with *error when
 * memory is out or a limit is reached. st may be NULL. */
mqlua_file *mqlua_bundle_add(mqlua_bundle *bundle, const char *name, mqlua_file_kind kind, char *text,
                             size_t size, const struct stat *st, char **error);

/* Drops all files. */
void mqlua_bundle_clear(mqlua_bundle *bundle);

/* Takes owner and mode of something that was read into account. */
void mqlua_bundle_note_owner(mqlua_bundle *bundle, const struct stat *st);

/* The file with that name and kind, or NULL. */
mqlua_file *mqlua_bundle_find(const mqlua_bundle *bundle, const char *name, mqlua_file_kind kind);

/* Reads one regular file (dirfd as for openat): malloc'ed text with a NUL behind it; *st is what was read.
 * NULL with *error, errno kept. Begins again a few times when the file changes meanwhile. */
char *mqlua_bundle_read(int dirfd, const char *path, size_t *size, struct stat *st, char **error);

/* Opens the folder of a new bundle and reads its entry file. False with *error. */
bool mqlua_bundle_begin(mqlua_bundle *bundle, char **error);
