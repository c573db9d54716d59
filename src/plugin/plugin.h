/* SPDX-License-Identifier: MIT */
#pragma once

/* The plugin as a whole: what is shared by all workers. Made by mq_version, before any thread. */

#include "api/state.h"
#include "mq/probe.h"
#include "plugin/figures.h"
#include "policy/store.h"
#include <pthread.h>
#include <stdatomic.h>

typedef struct mqlua_worker mqlua_worker;
typedef struct mqlua_reload mqlua_reload;

/* What came of the transactions of one generation on one worker (plugin/trial.h). Written by the worker, read
 * by the thread that reloads. */
enum { MQLUA_GENERATIONS = 8 }; /* alive in a worker, at most */
enum { MQLUA_TALLY_IN, MQLUA_TALLY_OUT };
typedef struct mqlua_tally_counts {
    atomic_uint_fast64_t transactions, failures;
} mqlua_tally_counts;
typedef struct mqlua_tally {
    atomic_uint_fast64_t generation;
    mqlua_tally_counts of[2]; /* MQLUA_TALLY_IN, MQLUA_TALLY_OUT */
} mqlua_tally;

typedef struct mqlua_plugin {
    mqlua_symbols symbols;
    mqlua_settings *settings;
    int read_flag, write_flag;
    bool passive; /* every callback returns false: the host lacks something, or the settings are wrong */
    bool refuse;  /* there is no policy that runs: connections are answered with 421 */
    mqlua_env proto;
    mqlua_figures figures;
    mqlua_store *store;   /* the files of persistent dictionaries */
    pthread_mutex_t lock; /* guards bundle, workers, reload, watcher and disposed; held for moments, never
                             while Lua runs on a worker */
    mqlua_bundle *bundle; /* of the current generation */
    mqlua_bundle *seen;   /* what was read at the start, whether it loaded or not */
    struct mqlua_refused *refused;
    mqlua_reload *reload;              /* the thread that watches the files; NULL: there is none */
    struct mqlua_watcher *watcher;     /* where that thread waits; NULL: it does not take states any more */
    LIST_HEAD(, mqlua_state) disposed; /* stopped states for that thread to free */
    atomic_uint_fast64_t generation;
    atomic_uint_fast64_t exhausted; /* the last generation whose state was made anew for lack of memory */
    struct mqlua_clients *clients;  /* plugin/clients.h */
    LIST_HEAD(, mqlua_worker) workers;
    mqlua_tally departed[MQLUA_GENERATIONS]; /* of workers that ended; under the lock */
    int worker_count;                        /* how many were ever made: their numbers */
    int worker_users;                        /* how many have not ended */
    mqlua_state *process;                    /* where initialize and cleanup run */
    bool silent;             /* the policy in use has no reload handlers; of the thread that reloads */
    bool cleaned;            /* mq_cleanup was called */
    atomic_bool left_behind; /* something did not come to its end in time: nothing may be freed */
    bool keep_warned;
    bool in_context; /* a context was made: the host is who it is going to be */
    bool restored;   /* the bundle is the last-known-good one, not what the files say */
    bool deferred;   /* the policy may not run as root: initialize waits for the first context */
} mqlua_plugin;

/* start.c: reads the settings, finds the host's functions, checks the policy. Never NULL, except when memory
 * is out. */
mqlua_plugin *mqlua_plugin_new(void);

/* The number for mq_version: the host's own, or INT_MIN when this plugin must not run. */
int mqlua_plugin_version(const mqlua_plugin *plugin);

/* The end has so many seconds, and a host that stops is back in charge: mq_cleanup returns within five, with
 * what the handlers of cleanup take. until is always a moment of mqlua_time_now. */
#define MQLUA_END_SECONDS 3.0

/* mq_initialize and mq_cleanup: the handlers of those names. The latter is true when nobody needs the plugin
 * any more: contexts may be cleaned up before it or after it, and whichever comes last frees the plugin. */
void mqlua_plugin_initialize(mqlua_plugin *plugin);
bool mqlua_plugin_cleanup(mqlua_plugin *plugin, double until);

/* Ends something that may take long, such as a read of a file system that does not answer, on a thread of its
 * own: end(ud) is waited for until the moment until (mqlua_time_now). After that it is left to itself, with a
 * line in the log that names it. True when it came to its end. */
bool mqlua_plugin_end_part(mqlua_plugin *plugin, const char *what, void (*end)(void *ud), void *ud,
                           double until);

/* The first worker: what had to wait until the host changed its user. */
void mqlua_plugin_first_context(mqlua_plugin *plugin);

/* Frees everything; no worker may be left. What takes too long goes on by itself, and then nothing is freed.
 */
void mqlua_plugin_free(mqlua_plugin *plugin, double until);
