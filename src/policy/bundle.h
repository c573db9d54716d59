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

typedef enum mqlua_file_kind {
    MQLUA_FILE_LUA,  /* parsed: char * bytecode */
    MQLUA_FILE_TEXT, /* mq.file */
    MQLUA_FILE_SET,  /* mq.set: parsed is a mqlua_lookup (api/lookup.h) */
    MQLUA_FILE_MAP,  /* mq.map: the same */
} mqlua_file_kind;

typedef struct mqlua_file {
    char *path;    /* absolute */
    char *name;    /* as used: relative to the policy's folder where it lies in it */
    char *text;
    size_t size;
    mqlua_file_kind kind;
    void *parsed;  /* what parse made of it */
    size_t parsed_size;
    void (*free_parsed)(void *parsed);
    struct mqlua_file *next;
} mqlua_file;

typedef struct mqlua_bundle mqlua_bundle;

/* Reads every *.lua under the folder of entry. NULL with *error (malloc'ed) when it cannot. */
mqlua_bundle *mqlua_bundle_open(const char *entry, char **error);

/* Any thread. */
mqlua_bundle *mqlua_bundle_ref(mqlua_bundle *bundle);
void mqlua_bundle_unref(mqlua_bundle *bundle);

/* The file of that path (relative ones from the policy's folder) and kind, already in the bundle or, while it is open, read now
 * (stat, read, stat again). NULL with *error (malloc'ed). Owned by the bundle. */
mqlua_file *mqlua_bundle_file(mqlua_bundle *bundle, const char *path, mqlua_file_kind kind, char **error);

/* Fixes content and hash. */
void mqlua_bundle_seal(mqlua_bundle *bundle);
bool mqlua_bundle_sealed(const mqlua_bundle *bundle);
const char *mqlua_bundle_hash(const mqlua_bundle *bundle); /* 32 hex digits */
const char *mqlua_bundle_folder(const mqlua_bundle *bundle);
mqlua_file *mqlua_bundle_entry(const mqlua_bundle *bundle);
