/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The bytes after DATA, up to the line with nothing but a dot.
 *
 * The end is found at CRLF.CRLF only (and at .CRLF right at the beginning): an end of data made with
 * bare CR or LF must not be seen, or mail can be smuggled past the next server. Such bytes are noted, kept
 * as they are, and the session refuses the message. Not thread-safe; never raises.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/bytes.h"

enum host_dotstream_status {
    HOST_DOTSTREAM_MORE,
    HOST_DOTSTREAM_END,
    HOST_DOTSTREAM_NO_MEMORY, /* 452; nothing can be done with this stream any more */
};

struct host_dotstream {
    /* limits, set by host_dotstream_init */
    uint64_t max_size; /* unstuffed octets; 0 = none */
    size_t max_line;   /* octets with dot and CRLF; 0 = none (RFC 5321: 1000) */

    /* what was seen */
    uint64_t size; /* unstuffed octets so far, those over the limit included */
    bool too_big;  /* over max_size: nothing is stored any more, the end is still looked for */
    bool long_line;
    bool bare_cr;
    bool bare_lf;
    bool nul;

    /* private */
    int state;
    size_t line;  /* octets of the current line so far */
    bool dotted;  /* a dot was removed: from there on what was sent is kept in raw */
    size_t shown; /* octets of mime that host_dotstream_drop has gone over, until then */
};

/* Starts a new message. */
void host_dotstream_init(struct host_dotstream *stream, uint64_t max_size, size_t max_line);

/* Takes bytes that came in; on END *used is less than or equal to size, the rest are the next commands.
 * Otherwise all are used. Appended are, without the final dot line: to mime the message with dot-stuffing
 * undone, to raw (NULL when nobody asks how it was sent) what host_dotstream_sent needs. A dot at the start
 * of a line and what follows it are held back until it is clear that they are not the end. */
enum host_dotstream_status host_dotstream_feed(struct host_dotstream *stream, const char *in, size_t size,
                                               size_t *used, struct host_bytes *mime, struct host_bytes *raw);

/* The bytes as they were sent, without those that were dropped; the buffers are those of host_dotstream_feed.
 * Most mail has no stuffed dot: it is then shown as it lies in mime, and is not kept twice. With raw = NULL
 * it is always that of mime. Returns the size; *bytes is borrowed until the next call of feed or drop. */
size_t host_dotstream_sent(const struct host_dotstream *stream, const struct host_bytes *mime,
                           const struct host_bytes *raw, const char **bytes);

/* Drops the first size of these bytes. */
void host_dotstream_drop(struct host_dotstream *stream, struct host_bytes *raw, size_t size);

/* The other direction: appends mime with dots stuffed and the final dot line. A missing CRLF at the end is
 * added. The caller has checked that there are no bare CR and LF. False without memory. */
bool host_dotstream_stuff(struct host_bytes *out, const char *mime, size_t size);
