/* SPDX-License-Identifier: MIT */
#pragma once

/* Listening sockets: one for each address and worker, shared out by the kernel (SO_REUSEPORT). */

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>

struct host;
struct host_worker;

struct host_listener {
    struct host_worker *worker;
    ev_io io;
    ev_timer pause; /* active while nothing is accepted, because the system refused */
    bool starved;   /* the system refused the last accept */
    int fd;
    bool tls;
    struct host_listener *next;
};

/* Binds all addresses for all workers; port 0 becomes the same free port for each. False with a message in
 * error. Main thread, before the process changes its user. */
bool host_listener_bind_all(struct host *host, char *error, size_t size);

/* Starts accepting. False when that fails. Worker thread. */
bool host_listener_start(struct host_worker *worker);

/* Closes the worker's sockets. Worker thread, or main thread when it does not run. */
void host_listener_stop(struct host_worker *worker);

/* Prints "listening on ADDR:PORT" for each address. Main thread, when all workers accept. */
void host_listener_print(const struct host *host);
