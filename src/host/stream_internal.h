/* SPDX-License-Identifier: MIT */
#pragma once

/* What stream.c (buffers and the loop) and stream_wire.c (socket and TLS) share. */

#include "host/stream.h"

#include <ev.h>

#include "host/bytes.h"

enum { HOST_STREAM_READ_MOST = 1 << 16 }; /* bytes at once */

enum host_stream_state {
    HOST_STATE_CONNECTING,
    HOST_STATE_OPEN,
    HOST_STATE_UPGRADE,   /* what is queued goes out in plain text, then the handshake starts */
    HOST_STATE_HANDSHAKE, /* nothing else is sent */
};

struct host_stream {
    struct host_worker *worker;
    const struct host_stream_calls *calls;
    void *owner;
    enum host_stream_state state;
    int fd;
    ev_io io;
    ev_timer kick;   /* something is to be done from the loop */
    ev_timer linger; /* bounds a finish */
    SSL *ssl;
    struct host_bytes in, out;
    size_t in_used, out_used; /* consumed or sent, at the beginning of each */
    const char *failure;      /* why it is lost; NULL while it is not */
    bool accepted;            /* not connected by us */
    bool hold;
    bool peek;      /* input stays in the socket until it is consumed */
    bool told;      /* lost was called */
    bool finishing; /* output still goes out, input is thrown away */
    bool shut;      /* finishing: our side is shut down */
    bool closed;
    bool write_wanted; /* the TLS library waits to write */
    bool dirty;        /* in the worker's list */
    int busy;          /* callbacks of the loop that are running */
    unsigned long long received, sent;
    struct host_stream *next_dirty;
    struct host_stream *next, *previous; /* in the worker's list of all streams */
};

/* Notes the end, once; the owner hears of it from the loop. */
void host_stream_fail(struct host_stream *stream, const char *why);

/* Each tries once, at the socket or through the TLS library. The bytes that came or went; 0 when there is
 * nothing now, no room, or the end was noted (host_stream_fail). write_wanted is set when the TLS library
 * waits to write. */
size_t host_stream_wire_read(struct host_stream *stream, char *to, size_t room);
size_t host_stream_wire_write(struct host_stream *stream, const char *data, size_t size);

/* Ends our side. */
void host_stream_wire_shut(struct host_stream *stream);

/* TLS on a socket, as server or as client (hostname for SNI, or NULL), before its handshake. NULL without
 * memory. */
SSL *host_stream_wire_tls(int fd, SSL_CTX *tls, bool server, const char *hostname);

/* Goes on with the handshake: true when it is over. Otherwise it wants more, or the end was noted. */
bool host_stream_wire_shake(struct host_stream *stream);
