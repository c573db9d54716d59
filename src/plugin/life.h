/* SPDX-License-Identifier: MIT */
#pragma once

/* The beginning and the end of a worker. */

#include "plugin/worker.h"

/* mq_context_initialize and mq_context_cleanup. NULL when the worker cannot be made (logged): its events are
 * let pass. */
mqlua_worker *mqlua_worker_new(mqlua_plugin *plugin, MQ_Context *context);
/* True when nobody needs the plugin any more: the caller frees it. worker may be NULL. */
bool mqlua_worker_free(mqlua_worker *worker);
