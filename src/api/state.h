/* SPDX-License-Identifier: MIT */
#pragma once

/* A state: one vm with the library and a loaded policy. A worker has one for each live generation; a check
 * has a scratch one. Belongs to one thread at a time. */

#include "api/env.h"
#include "api/on.h"
#include "api/verdict.h"

typedef struct mqlua_state {
    mqlua_env env;
    mqlua_made made;
    mqlua_loop *own_loop; /* of a state without one, for loading: its timers never fire */
    size_t users;         /* connections pinned to it and runs in it */
    size_t base;          /* bytes in use when it began to serve */
    int worker;           /* number of the worker that it is for; 0: none */
    double ends;          /* monotonic seconds: when what it does on its own ends, of one that was replaced */
    LIST_ENTRY(mqlua_state) link; /* of whoever keeps it: worker->old, or reload->disposed */
} mqlua_state;

/* Loads bundle (shared or still open) into a new state. what of proto is copied: settings, symbols, metrics,
 * threads, tree, proxies, first_worker, worker. loop NULL and phase MQLUA_CHECKING: a scratch state, with
 * timers that never fire; loop NULL otherwise: a state without timers and waiting (initialize, cleanup). A
 * loop is not touched before mqlua_state_serve. NULL with *error (malloc'ed). */
mqlua_state *mqlua_state_new(const mqlua_env *proto, mqlua_bundle *bundle, uint64_t generation,
                             mqlua_loop *loop, mqlua_phase phase, char **error);
void mqlua_state_free(mqlua_state *state);

/* From here on it is the worker's whose loop it has: its timers start. Thread: the loop's. */
void mqlua_state_serve(mqlua_state *state);

/* The opposite: ends its timers and tasks, so that any thread may call context_cleanup and free it. Thread:
 * the loop's. */
void mqlua_state_stop(mqlua_state *state);

/* Calls every handler of initialize, cleanup, context_initialize or context_cleanup; worker is the number for
 * context_*, 0 for none. False with *error at the first that fails. Not from inside Lua. */
bool mqlua_state_call(mqlua_state *state, mqlua_event event, int worker, char **error);
