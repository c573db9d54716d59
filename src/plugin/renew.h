/* SPDX-License-Identifier: MIT */
#pragma once

/* A worker takes over the next generation, or makes the state of its own anew. On the worker's thread, never
 * with a Lua frame of it alive. */

#include "plugin/worker.h"

/* One load and one comparison: is there a generation that the worker has not adopted? */
static inline bool mqlua_renew_is_due(const mqlua_worker *worker)
{
    return atomic_load_explicit(&worker->plugin->generation, memory_order_acquire) != worker->generation;
}

/* Makes the state that was prepared for this worker its current one; where there is none, the memory of the
 * current one is short, and it is looked after (plugin/rebuild.h). */
void mqlua_renew(mqlua_worker *worker);
