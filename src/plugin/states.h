/* SPDX-License-Identifier: MIT */
#pragma once

/* The states of a worker: made and freed by any thread, served by one. */

#include "api/move.h"
#include "plugin/worker.h"

/* Where a worker's next state comes from, while the worker may be gone already: nothing of it is touched. */
typedef struct mqlua_place {
    mqlua_worker *worker;
    mqlua_loop *loop;
    int number;
} mqlua_place;

/* A state that is ready to serve: loaded, context_initialize called. Any thread; no function of the host but
 * MQ_log is called. parcel (NULL: none) is what the state before hands on; stop: see mqlua_env. NULL with
 * *error. */
mqlua_state *mqlua_states_make(mqlua_plugin *plugin, const mqlua_place *place, mqlua_bundle *bundle,
                               uint64_t generation, const mqlua_parcel *parcel, const atomic_bool *stop,
                               char **error);

/* Calls context_cleanup and frees it. Any thread, when the state was stopped or never served. */
void mqlua_states_free(mqlua_state *state);

/* Makes state the current one; the worker has none. */
void mqlua_states_serve(mqlua_worker *worker, mqlua_state *state);

/* A user of a state is gone; an old generation ends soon after its last one: not at once, its own vm may be
 * what called. */
static inline void mqlua_states_release(mqlua_worker *worker, mqlua_state *state)
{
    if (--state->users == 0 && state != worker->state)
        mqlua_worker_soon(worker);
}

/* Takes a stopped state from a worker. Its context_cleanup and its freeing may take a while: the thread that
 * reloads does that, or the caller where there is no such thread. */
void mqlua_states_dispose(mqlua_plugin *plugin, mqlua_state *state);

/* Frees what mqlua_states_dispose was given. Thread: the one that reloads. */
void mqlua_states_free_disposed(mqlua_plugin *plugin);
