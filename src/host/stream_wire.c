/* SPDX-License-Identifier: MIT */

/* The socket of a stream, in plain text or through the TLS library. */

#include "host/stream_internal.h"

#include <errno.h>
#include <openssl/err.h>
#include <string.h>

static const char *tls_failure(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    ERR_clear_error();
    return reason ? reason : "TLS failure";
}

/* A return value below one of the TLS library: try again later, or the end. */
static void note_result(struct host_stream *stream, int result)
{
    switch (SSL_get_error(stream->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        stream->write_wanted = false;
        break;
    case SSL_ERROR_WANT_WRITE:
        stream->write_wanted = true;
        break;
    case SSL_ERROR_ZERO_RETURN:
        host_stream_fail(stream, "end of input");
        break;
    case SSL_ERROR_SYSCALL:
        host_stream_fail(stream, errno ? strerrordesc_np(errno) : "end of input");
        ERR_clear_error();
        break;
    default:
        host_stream_fail(stream, tls_failure());
    }
}

size_t host_stream_wire_read(struct host_stream *stream, char *to, size_t room)
{
    ssize_t got;
    if (stream->ssl) {
        ERR_clear_error();
        errno = 0;
        got = SSL_read(stream->ssl, to, room > HOST_STREAM_READ_MOST ? HOST_STREAM_READ_MOST : (int)room);
        if (got <= 0)
            note_result(stream, (int)got);
    } else {
        got = recv(stream->fd, to, room, stream->peek ? MSG_PEEK : 0);
        if (got == 0)
            host_stream_fail(stream, "end of input");
        else if (got < 0 && errno != EAGAIN && errno != EINTR)
            host_stream_fail(stream, strerrordesc_np(errno));
    }
    return got > 0 ? (size_t)got : 0;
}

size_t host_stream_wire_write(struct host_stream *stream, const char *data, size_t size)
{
    ssize_t done;
    if (stream->ssl && stream->state == HOST_STATE_OPEN) {
        ERR_clear_error();
        errno = 0;
        done = SSL_write(stream->ssl, data, size > 1 << 20 ? 1 << 20 : (int)size);
        if (done > 0)
            stream->write_wanted = false;
        else
            note_result(stream, (int)done);
    } else {
        done = send(stream->fd, data, size, MSG_NOSIGNAL);
        if (done < 0 && errno != EAGAIN && errno != EINTR)
            host_stream_fail(stream, strerrordesc_np(errno));
    }
    return done > 0 ? (size_t)done : 0;
}

void host_stream_wire_shut(struct host_stream *stream)
{
    if (stream->ssl && stream->state == HOST_STATE_OPEN)
        SSL_shutdown(stream->ssl);
    shutdown(stream->fd, SHUT_WR);
}

SSL *host_stream_wire_tls(int fd, SSL_CTX *tls, bool server, const char *hostname)
{
    SSL *ssl = SSL_new(tls);
    if (!ssl || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    if (server)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    if (hostname && SSL_set_tlsext_host_name(ssl, hostname) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    return ssl;
}

bool host_stream_wire_shake(struct host_stream *stream)
{
    ERR_clear_error();
    errno = 0;
    int result = SSL_do_handshake(stream->ssl);
    if (result != 1)
        note_result(stream, result);
    return result == 1;
}
