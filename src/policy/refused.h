/* SPDX-License-Identifier: MIT */
#pragma once

/* Policies that loaded well and failed on mail: their hashes, kept across restarts in the state folder. One
 * thread at a time. */

#include <stdbool.h>

enum { MQLUA_REFUSED = 100 }; /* remembered, the newest ones */

typedef struct mqlua_refused mqlua_refused;

/* What the file at path says; a missing or damaged one says nothing. NULL when memory is out. */
mqlua_refused *mqlua_refused_load(const char *path);
void mqlua_refused_free(mqlua_refused *refused);

/* refused may be NULL. */
bool mqlua_refused_has(const mqlua_refused *refused, const char *hash);

/* Remembers hash (32 hex digits), and writes the file: beside, synced, renamed. False with *error (malloc'ed)
 * when it could not be written; it is then remembered as long as the process lives. */
bool mqlua_refused_add(mqlua_refused *refused, const char *hash, char **error);
