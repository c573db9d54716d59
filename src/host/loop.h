/* SPDX-License-Identifier: MIT */
#pragma once

/* Timers and watchers of plugins. Worker thread only. */

#include "host/types.h"

/* Looks for watched descriptors that were closed (IO1). */
void host_loop_check_watchers(struct host_worker *worker);

/* After mq_context_cleanup: aborts (LO1) when something is still registered. */
void host_loop_check_leftovers(struct host_worker *worker);
