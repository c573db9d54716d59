/* SPDX-License-Identifier: MIT */
#pragma once

/* Connection and message handles: birth and quarantine. Worker thread only. */

#include "host/types.h"

/* A connection handle; the stream stays with the caller. NULL without memory.
 * The worker runs on until it is freed. */
MQ_Connection *host_connection_new(struct host_worker *worker, enum host_direction direction,
                                   struct host_stream *stream, void *owner);

/* The socket is gone (or about to go): MQ_send and MQ_fileDescriptor know from now on. */
void host_connection_detach(MQ_Connection *connection);

/* Sends the handle to the quarantine. No chain may be active. Reports data that a plugin left behind. */
void host_connection_free(MQ_Connection *connection);

/* A message handle for one recipient; takes over one reference of json. NULL without memory (json released).
 */
MQ_Message *host_message_new(MQ_Connection *connection, host_json *json);

/* Aborts (JS1) when a plugin gave away a reference of the JSON that is not its own. event is for the text. */
void host_message_check(MQ_Message *message, const char *event);

/* Sends it to the quarantine and returns the JSON, of which one reference is the caller's. */
host_json *host_message_finish(MQ_Message *message);

/* Gives back that reference, which must be the last one: aborts (JS1) when a plugin took one. */
void host_message_release(host_json *json);
