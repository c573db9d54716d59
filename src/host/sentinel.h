/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The descriptor that MQ_fileDescriptor hands out: a duplicate of the connection's socket, only to be looked
 * at. Whether a plugin closed it, changed its flags, read from it or wrote to it is seen after each of its
 * mq_* callbacks for that connection. Worker thread only; all but new take NULL for a connection without one.
 */

#include "host/types.h"

/* NULL without memory or descriptors. */
struct host_sentinel *host_sentinel_new(int socket);
void host_sentinel_free(struct host_sentinel *sentinel);

/* The duplicate; -1 for NULL. */
int host_sentinel_fd(const struct host_sentinel *sentinel);

/* Before a callback: notes what the socket is like. */
void host_sentinel_look(struct host_sentinel *sentinel);

/* After it: aborts (FD1) when the socket was tampered with. event names the callback. */
void host_sentinel_check(const struct host_sentinel *sentinel, const char *event);
