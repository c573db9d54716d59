/* SPDX-License-Identifier: MIT */
#pragma once

/* Around every call into a plugin: who is running, and for how long. Worker thread only. */

#include "host/worker.h"

/* Notes that plugin runs now. The frame before is returned and goes to host_call_leave. */
struct host_frame host_call_enter(struct host_worker *worker, enum host_call call, int plugin,
                                  const char *name);

/* The plugin returned: reports a callback that blocked the worker, restores the frame. */
void host_call_leave(struct host_worker *worker, const struct host_frame *before);

/* Base name of the plugin that is running, or "no plugin". */
const char *host_call_plugin(const struct host_worker *worker);

/* Seconds, monotonic. */
double host_call_clock(void);

/* Seconds this thread has waited for a CPU since it started; 0 where the system does not tell. */
double host_call_queued(const struct host_worker *worker);
