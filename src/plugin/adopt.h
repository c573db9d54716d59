/* SPDX-License-Identifier: MIT */
#pragma once

/* Generations on a worker: which connection is judged by which, and the end of old ones. All on the worker's
 * thread, never with a Lua frame of it alive. */

#include "plugin/worker.h"

/* Before an event of an incoming connection: a connection keeps its generation from MAIL FROM to the next
 * MAIL FROM; before, and in between when it has tasks no more, it moves to the current one, with its vars. */
void mqlua_adopt_look(mqlua_worker *worker, mqlua_peer *peer, mqlua_event event);

static inline void mqlua_adopt_pin(mqlua_worker *worker, mqlua_peer *peer, mqlua_event event)
{
    if (event >= MQLUA_IN_MAILFROM || peer->pinned || peer->state != worker->state)
        mqlua_adopt_look(worker, peer, event);
}

/* Moves a connection to the current state, with its vars; nothing of it runs. */
void mqlua_adopt_move(mqlua_worker *worker, mqlua_peer *peer);

/* Moves those of state that are idle: how many. */
size_t mqlua_adopt_move_idle(mqlua_worker *worker, const mqlua_state *state);

/* A state that is not the current one any more lives on for those that use it. */
void mqlua_adopt_retire(mqlua_worker *worker, mqlua_state *state);

/* Too many generations are alive: connections that sit idle in the oldest move, whatever they are in the
 * middle of. A generation in which tasks of connections still wait is left alone: their deadlines end it. */
void mqlua_adopt_keep_bound(mqlua_worker *worker);

/* Ends old generations that nobody uses. */
void mqlua_adopt_sweep(mqlua_worker *worker);

/* Ends all of them, with the worker. No peer and no run is left. */
void mqlua_adopt_end(mqlua_worker *worker);
