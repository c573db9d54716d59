/* SPDX-License-Identifier: MIT */
#pragma once

/* The replies of an SMTP server, read piece by piece (RFC 5321 4.2, RFC 2034). Not thread-safe; never raises.
 */

#include <stdbool.h>
#include <stddef.h>

#include "host/bytes.h"

enum host_reply_state {
    HOST_REPLY_MORE, /* not complete yet */
    HOST_REPLY_DONE,
    HOST_REPLY_BAD, /* no SMTP reply, codes that differ between the lines, or over the limits */
};

enum { HOST_REPLY_LINE_MAX = 4096, HOST_REPLY_TEXT_MAX = 65536 };

/* Zero-initialised, or cleared, it is ready for the next reply. */
struct host_reply {
    int code;               /* 200 to 599 */
    char status[12];        /* enhanced status code of the last line that had one: "5.1.1", else "" */
    struct host_bytes text; /* all lines without code and status, joined with "\n" */
    int lines;              /* complete lines so far */

    struct host_bytes partial; /* private: a line of which the end did not come yet */
};

/* Takes bytes that came in. On DONE *used says how many of them belong to this reply; otherwise all were
 * taken. A bare LF ends a line as well: some servers send it. */
enum host_reply_state host_reply_feed(struct host_reply *reply, const char *in, size_t size, size_t *used);

/* True when some line after the first one starts with this EHLO keyword (case-insensitive). *argument
 * (may be NULL) is then what follows it on that line, borrowed, of *argument_size bytes. */
bool host_reply_offers(const struct host_reply *reply, const char *keyword, const char **argument,
                       size_t *argument_size);

/* Ready for the next reply; memory is kept. */
void host_reply_clear(struct host_reply *reply);

/* Releases the memory. */
void host_reply_free(struct host_reply *reply);
