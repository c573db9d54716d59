/* SPDX-License-Identifier: MIT */
#pragma once

/* MQ_Address handles. Worker thread only. */

#include "host/types.h"

/* A handle for email (copied; NULL or "" is the null sender, shown as NULL and as "" in turn). Aborts without
 * memory. connection is for rcptto, message for MQ_envelope and MQ_recipient; both may be NULL. */
MQ_Address *host_address_new(struct host_worker *worker, const char *email, MQ_Connection *connection,
                             MQ_Message *message);

/* Overwrites the text and sends the handle to the quarantine. NULL is allowed. */
void host_address_free(MQ_Address *address, const char *death);
