/* SPDX-License-Identifier: MIT */
#pragma once

/* One line of the outbox on its way: what is to be sent, and to where. Owned by one thread at a time. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "host/bytes.h"
#include "host/json_lib.h"
#include "host/results.h"

struct host_delivery {
    unsigned long number; /* of the line in the outbox */
    host_json *json;      /* one reference; NULL while a message handle has it */

    char *envelope; /* "" = null sender */
    char *recipient;
    const char *mime; /* as loaded, with the headers property applied; NULL when it is no string */
    size_t mime_size;
    host_json *mime_value; /* keeps the loaded MIME alive whatever a plugin does to the JSON; own reference */
    struct host_bytes edited; /* the MIME after header edits */
    const char *no_mime;      /* with mime NULL: the state to fail with, "storage" or "responsive" */

    char *hostname; /* of the smarthost, and its port */
    char *port;
    char *user; /* NULL = no authentication */
    char *password;
    struct sockaddr_storage address;
    socklen_t address_size;

    struct host_delivery *next,
        *previous;                /* all that have no result yet; guarded by the lock of outgoing.c */
    struct host_delivery *queued; /* the next one in a worker's queue */
};

/* A delivery for json (stolen, also on failure); NULL without memory. */
struct host_delivery *host_delivery_new(unsigned long number, host_json *json);

/* Checks the message and finds its target; may block in name resolution. smarthost is HOST:PORT or NULL; the
 * message's own smarthost wins. False when there must be no attempt; *result is then what to record. */
bool host_delivery_prepare(struct host_delivery *delivery, const char *smarthost, struct host_result *result);

/* True when both may go over the same connection. */
bool host_delivery_same_target(const struct host_delivery *one, const struct host_delivery *other);

/* Releases everything, the JSON too. NULL is allowed. */
void host_delivery_free(struct host_delivery *delivery);

/* What is wrong with MIME that is to be sent: static text, or NULL when nothing is. whole asks for the empty
 * line between header and body as well. */
const char *host_delivery_check_mime(const char *mime, size_t size, bool whole);
