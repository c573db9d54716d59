/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A run: one event going through the handlers of its generation, one task for each. It ends inside the host's
 * callback when no handler waits; otherwise the callback returns true and the run's pause token stands for
 * the hand-back that is owed.
 */

#include "plugin/worker.h"

/* What the host passed to an event. */
typedef struct mqlua_arguments {
    MQ_Address *address;
    MQ_Message *message;
    const char *login, *password, *bytes;
    size_t login_size, password_size, bytes_size;
} mqlua_arguments;

/* One call of an exported function on an incoming connection or an outgoing one (peer NULL). The result is
 * what to return to the host. */
bool mqlua_run_event(mqlua_worker *worker, mqlua_event event, MQ_Connection *host, mqlua_peer *peer,
                     const mqlua_arguments *arguments);

/* Whether that event of the connection was asked for with mq.rerun and is still to come. */
bool mqlua_run_is_again(const mqlua_worker *worker, mqlua_event event, MQ_Connection *host);

/* The connection closed: what its next event should know is of no use any more. */
void mqlua_run_forget(mqlua_worker *worker, MQ_Connection *host);

/* The connection is gone, or the worker ends: no hand-back, tasks cancelled, everything freed. */
void mqlua_run_abandon(mqlua_run *run);

/* The memory of runs, when the worker ends. */
void mqlua_runs_free(mqlua_worker *worker);
