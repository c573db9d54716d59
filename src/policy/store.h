/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Keeps persistent dictionaries in files of the state folder, shared/NAME.dict, each replaced as a whole
 * every few seconds while it changes, and at the end. One process at a time: who holds the lock of
 * shared/lock. A process that does not get it serves without files, says so, and tries again each time; once
 * it gets it, it takes over what the files have and its own dictionaries lack.
 */

#include "base/dicts.h"

typedef struct mqlua_store mqlua_store;

enum { MQLUA_STORE_SECONDS = 5 }; /* between two looks at what changed */

/* A store for the folder state_dir/shared (copied; made when it is needed). warn (any thread) is told one
 * line each time that something begins to fail or works again. No file is touched yet. NULL when memory is
 * out. Owned by the caller. */
mqlua_store *mqlua_store_new(const char *state_dir, void (*warn)(void *ud, const char *text), void *ud);

/* For mqlua_dicts_new, with a mqlua_store as ud: what the file has, once the store is open. */
void mqlua_store_fill(void *store, mqlua_shared *shared);

/* From here on files are read and, by a thread of the store, written. Those of dicts that are to persist and
 * exist already take over what their files have and they lack. Not before the process is who it is going to
 * be, and has forked. dicts must outlive mqlua_store_stop. Does nothing the second time. */
void mqlua_store_open(mqlua_store *store, mqlua_dicts *dicts);

/* Ends the thread, and saves what changed. May be called again, to save what changed since. */
void mqlua_store_stop(mqlua_store *store);

/* After mqlua_store_stop. NULL is fine. */
void mqlua_store_free(mqlua_store *store);
