/* SPDX-License-Identifier: MIT */
#pragma once

/* Generations in use: how a worker moves to the next one. */

#include "plugin/worker.h"

/* One load and one comparison: is there a generation that the worker has not adopted? */
static inline bool mqlua_reload_is_due(const mqlua_worker *worker)
{
    return atomic_load_explicit(&worker->plugin->generation, memory_order_relaxed) != worker->generation;
}

/* Adopts the state that was prepared for this worker. At the beginning of an event only. */
void mqlua_reload_adopt(mqlua_worker *worker);

/* A connection keeps its generation from MAIL FROM to the next MAIL FROM; before and in between it moves to the current
 * one, with its vars. */
void mqlua_reload_repin(mqlua_worker *worker, mqlua_peer *peer, mqlua_event event);
