/* SPDX-License-Identifier: MIT */
#pragma once

/* One connection to a smarthost: an SMTP client that sends message after message. Worker thread only. */

#include <stdbool.h>

#include "host/outgoing.h"

struct host_out_connection;

/* Connects for a delivery, which is recorded in the end, whatever happens (perhaps inside this call). */
void host_out_connection_open(struct host_out_worker *home, struct host_delivery *delivery);

/* An idle connection to the delivery's target; NULL when there is none. */
struct host_out_connection *host_out_connection_find(struct host_out_worker *home,
                                                     const struct host_delivery *delivery);

/* Sends a delivery over an idle connection. As with open, it is recorded in the end. */
void host_out_connection_use(struct host_out_connection *connection, struct host_delivery *delivery);

/* Says QUIT on one idle connection; false when there is none. */
bool host_out_connection_retire(struct host_out_worker *home);

/* Ends it at once; its delivery is recorded as lost, a pause is cancelled. */
void host_out_connection_cut(struct host_out_connection *connection);
