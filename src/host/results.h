/* SPDX-License-Identifier: MIT */
#pragma once

/* What is known about one attempt to deliver, and how it becomes a line of the results file. */

#include <openssl/ssl.h>
#include <stdint.h>
#include <time.h>

#include "host/json_lib.h"

/* Strings are borrowed for the call; NULL = not known. */
struct host_result {
    const char *state;  /* how far it came: "connect", "rcptto", "message", ... */
    const char *result; /* "accepted", "timeout", "lost", "invalid" or "error" */
    const char *mta;    /* name from the peer's greeting */
    const char *from;   /* local and remote address, once there is a connection */
    const char *to;
    const char *authentication; /* mechanism that was used */
    SSL *ssl;                   /* NULL without TLS */
    int messages;             /* sent over this connection so far, this one included; -1 without connection */
    uint64_t sent_connection; /* bytes written to this connection, and of this message's MIME */
    uint64_t sent_data;
    int code; /* of the peer's reply; 0 = none */
    const char *status;
    const char *description;
    bool dsn; /* the peer offers DSN; shown for accepted messages only */
};

/* Appends the attempt to json's results[] and takes mime out unless keepmime is set. Everything else in json
 * is carried through. False without memory. */
bool host_results_add(host_json *json, const struct host_result *result);

/* The line for something in the outbox that is no message: {"line": number, "error": ..., "results": [...]},
 * a new reference; NULL without memory. */
host_json *host_results_malformed(unsigned long number, const char *error);
