/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A buffered, non-blocking TCP stream in a worker's loop, plain or with TLS. Worker thread only.
 *
 * Input collects in a buffer: the owner looks at it, consumes what it understood and returns. Output collects
 * in a buffer too and goes out in one piece before the loop waits again, so pipelined commands get one
 * write. Callbacks run from the loop, never from inside a function of this header. A closed stream is
 * released later, when no callback of it is running, so closing is allowed everywhere.
 */

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct host_worker;
struct host_stream;

struct host_stream_calls {
    /* New bytes in the input buffer; not while it is on hold, and on an accepted stream not while the peer
     * leaves unread what was sent to it. */
    void (*readable)(struct host_stream *stream, void *owner);
    /* Connected, or the TLS handshake is over. */
    void (*ready)(struct host_stream *stream, void *owner);
    /* End of input or an error; called once, also on hold, and after readable had what came before. The owner
     * still has to close it. why is static or thread-local text such as "Connection reset by peer". */
    void (*lost)(struct host_stream *stream, void *owner, const char *why);
};

/* Takes over fd (connected, non-blocking), also on failure: NULL without memory. */
struct host_stream *host_stream_accept(struct host_worker *worker, int fd,
                                       const struct host_stream_calls *calls, void *owner);

/* Starts to connect; ready or lost follows from the loop. NULL with errno when it fails at once. */
struct host_stream *host_stream_connect(struct host_worker *worker, const struct sockaddr *address,
                                        socklen_t size, const struct host_stream_calls *calls, void *owner);

/* Sends what is queued, drops unread input (a command before the handshake must not be taken for one after
 * it), then starts TLS: as server with tls from host_tls_server, as client with host_tls_client. ready or
 * lost follows. hostname is for SNI, NULL as a server. False without memory. */
bool host_stream_starttls(struct host_stream *stream, SSL_CTX *tls, bool server, const char *hostname);

/* What has arrived and was not consumed; good until the next call of consume or return to the loop. */
const char *host_stream_input(struct host_stream *stream, size_t *size);
void host_stream_consume(struct host_stream *stream, size_t size);

/* While peeking, input that is not consumed stays in the socket, so that a PROXY header can be followed by
 * a TLS handshake. Plain streams only, for a short header. */
void host_stream_peek(struct host_stream *stream, bool peek);

/* Queues a copy. Without memory the stream breaks and lost follows. Nothing happens once it is lost. */
void host_stream_write(struct host_stream *stream, const void *data, size_t size);

/* Queues a NUL-terminated text. */
void host_stream_puts(struct host_stream *stream, const char *text);

/* Bytes that are queued and did not leave yet. */
size_t host_stream_queued(const struct host_stream *stream);

/* While on hold readable is not called; input goes on collecting up to a bound, and losing the peer is
 * still noticed. Releasing it calls readable from the loop when there is input. */
void host_stream_hold(struct host_stream *stream, bool hold);

/* Closes at once. The pointer is dead for the caller; no callback comes any more. */
void host_stream_close(struct host_stream *stream);

/* Closes when everything queued has gone out, or after a few seconds. Dead for the caller as above. */
void host_stream_finish(struct host_stream *stream);

int host_stream_fd(const struct host_stream *stream);
bool host_stream_secure(const struct host_stream *stream);
/* NULL while not secure; borrowed. */
SSL *host_stream_ssl(struct host_stream *stream);
/* Bytes received from the peer and given to the wire so far. */
unsigned long long host_stream_received(const struct host_stream *stream);
unsigned long long host_stream_sent(const struct host_stream *stream);

/* Sends what all streams of the worker have queued; called before its loop waits. */
void host_stream_flush_all(struct host_worker *worker);

/* Closes what is left, lingering ones too; when the worker ends. */
void host_stream_close_all(struct host_worker *worker);
