/* SPDX-License-Identifier: MIT */
#pragma once

/* The walk of one event through the plugins, with pauses and hand-backs. Worker thread only. */

#include "host/types.h"

/* Offers an event to all plugins that export it, in order, then calls done(connection, data). That may happen
 * inside this call (nothing paused) or later from the loop or from inside MQ_continue and its like.
 * The connection must be IDLE. Arguments are copied; what they point to must stay until done. */
void host_chain_run(MQ_Connection *connection, enum host_event event, const struct host_arguments *arguments,
                    host_chain_done done, void *data);

/* True from host_chain_run until done is called. */
bool host_chain_active(const MQ_Connection *connection);

/* A plugin holds the connection. */
bool host_chain_paused(const MQ_Connection *connection);

/* Ends a paused chain whose hand-back is not waited for any more; done is not called. The ledger counts it as
 * closed during the pause, or as left at shutdown. A hand-back that comes later aborts (CF5). */
void host_chain_cancel(MQ_Connection *connection, bool at_shutdown);

/* True when some plugin exports that event. */
bool host_chain_wanted(const struct host *host, enum host_event event);

/* A hand-back by a plugin; site is where it called. */
void host_chain_handback(MQ_Connection *connection, enum host_handback handback, const char *function,
                         const void *site);

/* The exported function of an event, such as "mq_smtp_in_connect". */
const char *host_chain_event_name(enum host_event event);
