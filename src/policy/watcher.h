/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Tells when the files of a policy have changed and are quiet again. What decides is a look at the files
 * (names and versions, compared with those that were read last); inotify only says when to look, so that file
 * systems that report nothing, links that are turned elsewhere and lost events cost time and no more.
 *
 * Thread: one, except mqlua_watcher_wake.
 */

#include "policy/bundle.h"

typedef struct mqlua_watcher mqlua_watcher;

typedef enum mqlua_watched {
    MQLUA_WATCHED_NOTHING, /* the time is over, or mqlua_watcher_wake */
    MQLUA_WATCHED_CHANGE,  /* read the policy now */
    MQLUA_WATCHED_BUSY,    /* it changed, but has not come to rest for a long time; told once per change */
} mqlua_watched;

/* entry: absolute path of the policy's entry file. quiet: seconds without change before a change counts,
 * at least 0.1. poll: seconds between two looks where nothing is reported; 0: never. NULL when memory or
 * descriptors are out. */
mqlua_watcher *mqlua_watcher_new(const char *entry, double quiet, double poll);
void mqlua_watcher_free(mqlua_watcher *watcher);

/* What was read last, sealed or only partly loaded: its files are watched from here on, and how they were
 * when they were read is what counts as unchanged. NULL: nothing could be read; what was seen last counts. */
void mqlua_watcher_follow(mqlua_watcher *watcher, const mqlua_bundle *bundle);

/* Waits up to seconds. */
mqlua_watched mqlua_watcher_wait(mqlua_watcher *watcher, double seconds);

/* The file that kept the watcher busy because it is open for writing; NULL: none. Good until the next wait.
 */
const char *mqlua_watcher_writing(const mqlua_watcher *watcher);

/* Ends a wait, now or the next one. Any thread. */
void mqlua_watcher_wake(mqlua_watcher *watcher);
