/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A bundle: an immutable snapshot of a policy in memory, with a content hash. Lua files are kept as text and
 * as bytecode, data files as parsed sets and maps, both once per process and shared by all workers.
 *
 * While a bundle is open it belongs to one thread and grows by what loading asks for (files required from
 * outside, data files); once sealed it is read-only and may be used by any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum mqlua_file_kind {
    MQLUA_FILE_LUA,  /* parsed: char * bytecode */
    MQLUA_FILE_TEXT, /* mq.file */
    MQLUA_FILE_SET,  /* mq.set: parsed is a mqlua_lookup (base/lookup.h) */
    MQLUA_FILE_MAP,  /* mq.map: the same */
} mqlua_file_kind;

typedef struct mqlua_file {
    char *path; /* absolute */
    char *name; /* as used: relative to the policy's folder where it lies in it */
    char *text;
    size_t size;
    mqlua_file_kind kind;
    void *parsed; /* what parse made of it */
    size_t parsed_size;
    void (*free_parsed)(void *parsed);
    struct mqlua_file *next;
} mqlua_file;

typedef struct mqlua_bundle mqlua_bundle;

/* Begins with the entry file; whatever loading asks for is added (policy/load.h), and nothing else: what lies
 * beside it is no policy. Symbolic links are followed. A relative entry counts from the working folder. NULL
 * with *error (malloc'ed) when it cannot. */
mqlua_bundle *mqlua_bundle_open(const char *entry, char **error);

/* Any thread. */
mqlua_bundle *mqlua_bundle_ref(mqlua_bundle *bundle);
void mqlua_bundle_unref(mqlua_bundle *bundle);

/* The file of that path (relative ones from the policy's folder) and kind, already in the bundle or, while it
 * is open, read now (stat, read, stat again). NULL with *error (malloc'ed). Owned by the bundle. */
mqlua_file *mqlua_bundle_file(mqlua_bundle *bundle, const char *path, mqlua_file_kind kind, char **error);

/* Fixes content and hash. */
void mqlua_bundle_seal(mqlua_bundle *bundle);
bool mqlua_bundle_sealed(const mqlua_bundle *bundle);
const char *mqlua_bundle_hash(const mqlua_bundle *bundle); /* 32 hex digits */
const char *mqlua_bundle_folder(const mqlua_bundle *bundle);
mqlua_file *mqlua_bundle_entry(const mqlua_bundle *bundle);

/* What file means to its user, made by parse at the first call and kept in file->parsed: any thread may ask,
 * parse runs once and must not come back here. parse returns NULL with *error (malloc'ed) when the file is
 * wrong, and so does this (and the next call tries again). The result is the bundle's and read-only. */
typedef void *(*mqlua_file_parse)(const mqlua_file *file, void (**free_parsed)(void *), char **error);
void *mqlua_bundle_parsed(mqlua_bundle *bundle, mqlua_file *file, mqlua_file_parse parse, char **error);

/* The files, as a list through ->next; in order of name once sealed. */
mqlua_file *mqlua_bundle_files(const mqlua_bundle *bundle);

/* True when a file of the bundle, or its folder, is no longer what it was when it was read. Before sealing,
 * it tells whether files that were read one after the other belong together. Files that appeared since count
 * when they were asked for. Thread as the bundle. */
bool mqlua_bundle_changed(const mqlua_bundle *bundle);

/* Takes into account who may change the Lua files that lie in the policy's folder, whether they belong to it
 * or not: what a policy requires by a name that it makes up is known only when it runs. False: they cannot be
 * gone through. */
bool mqlua_bundle_note_all(mqlua_bundle *bundle);

/* True when all files, and the folders that were searched, belong to uid and nobody else may write to them.
 */
bool mqlua_bundle_owned_by(const mqlua_bundle *bundle, uid_t uid);

/* Writes a sealed bundle to fd. False with *error (malloc'ed). */
bool mqlua_bundle_save(const mqlua_bundle *bundle, int fd, char **error);

/* Saves to path (mode 0600) so that there is always a complete file, the old one or the new one, whenever the
 * process or the machine stops: written beside, synced, renamed, folder synced. False with *error
 * (malloc'ed); the old one is then still there. */
bool mqlua_bundle_keep(const mqlua_bundle *bundle, const char *path, char **error);

/* A sealed bundle from such a file: texts only, no bytecode, nothing parsed. Its owner is the owner of the
 * file. NULL with *error (malloc'ed) when it is missing, damaged or of another version. */
mqlua_bundle *mqlua_bundle_restore(const char *path, char **error);

/* The same from memory; name is for messages. */
mqlua_bundle *mqlua_bundle_parse(const void *data, size_t size, const char *name, char **error);
