/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The Lua files below a folder, each with what identifies the version of it that is there now. Symbolic links
 * are followed, and each folder is gone through once. What is hidden (".git", an editor's swap file) is not
 * listed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

enum {
    MQLUA_LISTING_FILES = 10000, /* Lua files, at most */
    MQLUA_LISTING_FOLDERS = 1000,
    MQLUA_LISTING_ITEMS = 100000, /* of whatever kind */
    MQLUA_LISTING_DEPTH = 16,     /* of folders in folders */
};

typedef struct mqlua_listed {
    char *name; /* relative to the folder */
    struct stat st;
} mqlua_listed;

typedef struct mqlua_listing {
    mqlua_listed *files; /* *.lua, by name */
    size_t count, room;
    mqlua_listed *folders; /* the folder itself ("") and those below */
    size_t folder_count, folder_room;
} mqlua_listing;

/* Fills a zeroed listing from folder_fd, which stays the caller's; folder is its name, for messages. False
 * with *error (malloc'ed); the listing is to be freed in any case. Any thread. */
bool mqlua_listing_read(mqlua_listing *listing, int folder_fd, const char *folder, char **error);
void mqlua_listing_free(mqlua_listing *listing);

/* The same version of the same file? */
bool mqlua_listing_same(const struct stat *a, const struct stat *b);

/* Is this the name of a Lua file that would be listed (its folder aside)? */
bool mqlua_listing_wants(const char *name);
