/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The outgoing side: lines of the outbox are shared out to the workers, each of which keeps a few
 * connections, uses them again for the next message to the same target, and records one result for every
 * line. There is one attempt per line; retries are left to whoever reads the results.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "host/delivery.h"

struct host;
struct host_worker;
struct host_outgoing;
struct host_out_connection; /* out_connection.h */

/* One worker's share. Its thread only. */
struct host_out_worker {
    struct host_outgoing *outgoing;
    struct host_worker *worker;
    struct host_delivery *first, *last; /* waiting for a connection */
    struct host_out_connection *connections;
    int active;   /* connections that count against the limit */
    bool leaving; /* nothing new is started any more */
    bool pumping;
};

/* Opens outbox and results. NULL with a message in error (of size bytes), also without an outbox. Main
 * thread. */
struct host_outgoing *host_outgoing_open(struct host *host, char *error, size_t size);

/* Starts reading the outbox, when all workers run. False when the thread cannot be made. Main thread. */
bool host_outgoing_start(struct host_outgoing *outgoing);

/* The worker stops: its waiting lines get a result without attempt, idle connections are closed, attempts
 * under way may end. On the worker's thread. */
void host_outgoing_leave(struct host_worker *worker);

/* The grace is over: what is under way is recorded as lost. On the worker's thread. */
void host_outgoing_cut(struct host_worker *worker);

/* After all workers ended: releases everything. 0 when every line that was read has its result on disk, else
 * an errno value. NULL is allowed. Main thread. */
int host_outgoing_close(struct host_outgoing *outgoing);

/* For out_connection.c: */

/* Records the attempt in json (stolen) and ends the delivery (released). Any thread. */
void host_outgoing_record(struct host_outgoing *outgoing, struct host_delivery *delivery, host_json *json,
                          const struct host_result *result);

/* Starts what can be started. The worker's thread; may be called from inside itself. */
void host_outgoing_pump(struct host_out_worker *home);

struct host *host_outgoing_host(const struct host_outgoing *outgoing);
