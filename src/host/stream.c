/* SPDX-License-Identifier: MIT */
#include "host/stream.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/bytes.h"
#include "host/worker.h"

enum {
    INPUT_FIRST = 4096,   /* room for the first read */
    INPUT_MOST = 1 << 16, /* no more is read while so much is waiting */
    LINGER_SECONDS = 3,
};

enum state {
    STATE_CONNECTING,
    STATE_OPEN,
    STATE_UPGRADE,   /* what is queued goes out in plain text, then the handshake starts */
    STATE_HANDSHAKE, /* nothing else is sent */
};

struct host_stream {
    struct host_worker *worker;
    const struct host_stream_calls *calls;
    void *owner;
    enum state state;
    int fd;
    ev_io io;
    ev_timer kick;   /* something is to be done from the loop */
    ev_timer linger; /* bounds a finish */
    SSL *ssl;
    struct host_bytes in, out;
    size_t in_used, out_used; /* consumed or sent, at the beginning of each */
    const char *failure;      /* why it is lost; NULL while it is not */
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

static void flush_output(struct host_stream *stream);

static size_t waiting(const struct host_stream *stream)
{
    return stream->in.size - stream->in_used;
}

static void free_when_unused(struct host_stream *stream)
{
    if (!stream->closed || stream->busy || stream->dirty)
        return;
    if (stream->previous)
        stream->previous->next = stream->next;
    else
        stream->worker->streams = stream->next;
    if (stream->next)
        stream->next->previous = stream->previous;
    host_bytes_free(&stream->in);
    host_bytes_free(&stream->out);
    free(stream);
}

static void set_interest(struct host_stream *stream)
{
    int events = 0;
    if (stream->closed)
        return;
    if (stream->state == STATE_CONNECTING) {
        events = EV_WRITE;
    } else if (!stream->failure) {
        if (waiting(stream) < INPUT_MOST)
            events |= EV_READ;
        if (stream->write_wanted || (stream->out.size > stream->out_used && stream->state != STATE_HANDSHAKE))
            events |= EV_WRITE;
    }
    if (events == (ev_is_active(&stream->io) ? (stream->io.events & (EV_READ | EV_WRITE)) : 0))
        return;
    ev_io_stop(stream->worker->loop, &stream->io);
    if (events) {
        ev_io_set(&stream->io, stream->fd, events);
        ev_io_start(stream->worker->loop, &stream->io);
    }
}

static void kick(struct host_stream *stream)
{
    if (!stream->closed && !ev_is_active(&stream->kick)) {
        ev_timer_set(&stream->kick, 0, 0);
        ev_timer_start(stream->worker->loop, &stream->kick);
    }
}

/* Notes the end; the owner hears of it from the loop. */
static void fail(struct host_stream *stream, const char *why)
{
    if (!stream->failure)
        stream->failure = why;
    stream->write_wanted = false;
    kick(stream);
}

static const char *tls_failure(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    ERR_clear_error();
    return reason ? reason : "TLS failure";
}

/* What a return value below one of the TLS library means: true when it can be tried again later. */
static bool tls_again(struct host_stream *stream, int result)
{
    switch (SSL_get_error(stream->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        stream->write_wanted = false;
        return true;
    case SSL_ERROR_WANT_WRITE:
        stream->write_wanted = true;
        return true;
    case SSL_ERROR_ZERO_RETURN:
        fail(stream, "end of input");
        return false;
    case SSL_ERROR_SYSCALL:
        fail(stream, errno ? strerrordesc_np(errno) : "end of input");
        ERR_clear_error();
        return false;
    default:
        fail(stream, tls_failure());
        return false;
    }
}

/* Reads once. Bytes read; 0 when there is nothing now, no room, or the end was noted. */
static size_t fill(struct host_stream *stream)
{
    ssize_t got;
    if (stream->peek)
        stream->in_used = stream->in.size; /* comes again */
    if (stream->in_used) {
        host_bytes_drop(&stream->in, stream->in_used);
        stream->in_used = 0;
    }
    if (stream->failure || stream->in.size >= INPUT_MOST)
        return 0;
    size_t room = stream->in.capacity > stream->in.size + 1 ? stream->in.capacity - stream->in.size - 1 : 0;
    if (room < INPUT_FIRST / 2) {
        if (!host_bytes_reserve(&stream->in, INPUT_FIRST)) {
            fail(stream, "no memory");
            return 0;
        }
        room = stream->in.capacity - stream->in.size - 1;
    }
    if (stream->ssl) {
        ERR_clear_error();
        errno = 0;
        got = SSL_read(stream->ssl, stream->in.data + stream->in.size,
                       room > INPUT_MOST ? INPUT_MOST : (int)room);
        if (got <= 0) {
            tls_again(stream, (int)got);
            return 0;
        }
    } else {
        got = recv(stream->fd, stream->in.data + stream->in.size, room, stream->peek ? MSG_PEEK : 0);
        if (got == 0)
            fail(stream, "end of input");
        else if (got < 0 && errno != EAGAIN && errno != EINTR)
            fail(stream, strerrordesc_np(errno));
        if (got <= 0)
            return 0;
    }
    stream->in.size += (size_t)got;
    stream->received += (size_t)got;
    if ((size_t)got == room && !stream->peek && stream->in.size < INPUT_MOST)
        host_bytes_reserve(&stream->in,
                           stream->in.capacity); /* more is coming: read more at once next time */
    return (size_t)got;
}

static void tell_lost(struct host_stream *stream)
{
    if (!stream->failure || stream->told || stream->closed)
        return;
    stream->told = true;
    if (stream->finishing)
        host_stream_close(stream);
    else
        stream->calls->lost(stream, stream->owner, stream->failure);
}

/* Reads and shows the owner what is there. */
static void pump(struct host_stream *stream)
{
    size_t got;
    do {
        got = fill(stream);
        if (stream->finishing) {
            host_bytes_clear(&stream->in);
            continue;
        }
        if (waiting(stream) && !stream->hold)
            stream->calls->readable(stream, stream->owner);
        /* only the TLS library can have more that the loop does not know of */
    } while (got && stream->ssl && !stream->closed && stream->state == STATE_OPEN &&
             waiting(stream) < INPUT_MOST);
    if (stream->closed)
        return;
    if (!waiting(stream) && stream->in.capacity > 2 * INPUT_FIRST && !got)
        host_bytes_free(&stream->in), stream->in_used = 0;
    tell_lost(stream);
}

static void handshake(struct host_stream *stream)
{
    ERR_clear_error();
    errno = 0;
    int result = SSL_do_handshake(stream->ssl);
    if (result == 1) {
        stream->state = STATE_OPEN;
        stream->write_wanted = false;
        stream->calls->ready(stream, stream->owner);
        if (!stream->closed)
            pump(stream);
        return;
    }
    if (!tls_again(stream, result))
        tell_lost(stream);
}

static void connected(struct host_stream *stream)
{
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    stream->state = STATE_OPEN;
    if (error) {
        fail(stream, strerrordesc_np(error));
        tell_lost(stream);
        return;
    }
    stream->calls->ready(stream, stream->owner);
}

static void after_event(struct host_stream *stream)
{
    stream->busy--;
    if (stream->closed)
        free_when_unused(stream);
    else
        set_interest(stream);
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
    struct host_stream *stream = io->data;
    stream->busy++;
    if (stream->state == STATE_CONNECTING)
        connected(stream);
    else if (stream->state == STATE_HANDSHAKE)
        handshake(stream);
    else {
        if (events & EV_WRITE)
            flush_output(stream);
        if (!stream->closed && (events & EV_READ || stream->ssl))
            pump(stream);
    }
    after_event(stream);
}

static void on_kick(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct host_stream *stream = timer->data;
    stream->busy++;
    if (stream->state == STATE_HANDSHAKE && !stream->failure)
        handshake(stream);
    else if (stream->state == STATE_OPEN)
        pump(stream);
    else
        tell_lost(stream);
    after_event(stream);
}

static void on_linger(struct ev_loop *loop, ev_timer *timer, int events)
{
    host_stream_close(timer->data);
}

static struct host_stream *stream_new(struct host_worker *worker, int fd, enum state state,
                                      const struct host_stream_calls *calls, void *owner)
{
    struct host_stream *stream = calloc(1, sizeof *stream);
    if (!stream) {
        close(fd);
        errno = ENOMEM;
        return NULL;
    }
    stream->worker = worker;
    stream->calls = calls;
    stream->owner = owner;
    stream->state = state;
    stream->fd = fd;
    ev_io_init(&stream->io, on_io, fd, 0);
    stream->io.data = stream;
    ev_timer_init(&stream->kick, on_kick, 0, 0);
    stream->kick.data = stream;
    ev_timer_init(&stream->linger, on_linger, LINGER_SECONDS, 0);
    stream->linger.data = stream;
    stream->next = worker->streams;
    if (stream->next)
        stream->next->previous = stream;
    worker->streams = stream;
    set_interest(stream);
    return stream;
}

struct host_stream *host_stream_accept(struct host_worker *worker, int fd,
                                       const struct host_stream_calls *calls, void *owner)
{
    return stream_new(worker, fd, STATE_OPEN, calls, owner);
}

struct host_stream *host_stream_connect(struct host_worker *worker, const struct sockaddr *address,
                                        socklen_t size, const struct host_stream_calls *calls, void *owner)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return NULL;
    if (connect(fd, address, size) < 0 && errno != EINPROGRESS) {
        int error = errno;
        close(fd);
        errno = error;
        return NULL;
    }
    return stream_new(worker, fd, STATE_CONNECTING, calls, owner);
}

bool host_stream_starttls(struct host_stream *stream, SSL_CTX *tls, bool server, const char *hostname)
{
    host_bytes_clear(&stream->in);
    stream->in_used = 0;
    SSL *ssl = SSL_new(tls);
    if (!ssl || SSL_set_fd(ssl, stream->fd) != 1) {
        SSL_free(ssl);
        return false;
    }
    if (server)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    if (hostname && SSL_set_tlsext_host_name(ssl, hostname) != 1) {
        SSL_free(ssl);
        return false;
    }
    stream->state = STATE_UPGRADE;
    flush_output(stream); /* still in plain text: ssl is not set yet */
    stream->ssl = ssl;
    if (stream->out.size == stream->out_used)
        stream->state = STATE_HANDSHAKE;
    kick(stream);
    set_interest(stream);
    return true;
}

const char *host_stream_input(struct host_stream *stream, size_t *size)
{
    *size = waiting(stream);
    return stream->in.data ? stream->in.data + stream->in_used : "";
}

void host_stream_consume(struct host_stream *stream, size_t size)
{
    if (stream->peek) {
        stream->in_used = stream->in.size;
        if (recv(stream->fd, stream->in.data, size, 0) != (ssize_t)size)
            fail(stream, "lost what was there");
        return;
    }
    bool was_full = waiting(stream) >= INPUT_MOST;
    stream->in_used += size;
    if (was_full && waiting(stream) < INPUT_MOST) {
        set_interest(stream);
        kick(stream); /* the TLS library may have more already */
    }
}

void host_stream_peek(struct host_stream *stream, bool peek)
{
    stream->peek = peek;
    kick(stream);
}

/* Writes once from the queue; the bytes that went out, or 0. */
static size_t write_some(struct host_stream *stream, const char *data, size_t size)
{
    ssize_t done;
    if (stream->ssl && stream->state == STATE_OPEN) {
        ERR_clear_error();
        errno = 0;
        done = SSL_write(stream->ssl, data, size > 1 << 20 ? 1 << 20 : (int)size);
        if (done <= 0) {
            tls_again(stream, (int)done);
            return 0;
        }
        stream->write_wanted = false;
    } else {
        done = send(stream->fd, data, size, MSG_NOSIGNAL);
        if (done < 0 && errno != EAGAIN && errno != EINTR)
            fail(stream, strerrordesc_np(errno));
        if (done <= 0)
            return 0;
    }
    stream->sent += (size_t)done;
    return (size_t)done;
}

/* Everything is out. */
static void drained(struct host_stream *stream)
{
    stream->out_used = 0;
    if (stream->out.capacity > INPUT_MOST)
        host_bytes_free(&stream->out);
    else
        host_bytes_clear(&stream->out);
    if (stream->state == STATE_UPGRADE) {
        stream->state = STATE_HANDSHAKE;
        kick(stream);
    }
    if (stream->finishing && !stream->shut) {
        stream->shut = true;
        if (stream->ssl && stream->state == STATE_OPEN)
            SSL_shutdown(stream->ssl);
        shutdown(stream->fd, SHUT_WR);
    }
}

static void flush_output(struct host_stream *stream)
{
    if (stream->closed || stream->state == STATE_CONNECTING || stream->state == STATE_HANDSHAKE)
        return;
    while (!stream->failure && stream->out_used < stream->out.size) {
        size_t done =
            write_some(stream, stream->out.data + stream->out_used, stream->out.size - stream->out_used);
        if (!done)
            break;
        stream->out_used += done;
    }
    if (stream->out_used == stream->out.size)
        drained(stream);
}

static void mark_dirty(struct host_stream *stream)
{
    if (stream->dirty)
        return;
    stream->dirty = true;
    stream->next_dirty = stream->worker->dirty;
    stream->worker->dirty = stream;
}

void host_stream_write(struct host_stream *stream, const void *data, size_t size)
{
    if (stream->failure || stream->closed)
        return;
    if (!host_bytes_add(&stream->out, data, size)) {
        fail(stream, "no memory");
        return;
    }
    mark_dirty(stream);
}

void host_stream_puts(struct host_stream *stream, const char *text)
{
    host_stream_write(stream, text, strlen(text));
}

void host_stream_flush_all(struct host_worker *worker)
{
    while (worker->dirty) {
        struct host_stream *stream = worker->dirty;
        worker->dirty = stream->next_dirty;
        stream->dirty = false;
        if (stream->closed) {
            free_when_unused(stream);
            continue;
        }
        flush_output(stream);
        set_interest(stream);
    }
}

void host_stream_close_all(struct host_worker *worker)
{
    host_stream_flush_all(worker);
    struct host_stream *next;
    for (struct host_stream *stream = worker->streams; stream; stream = next) {
        next = stream->next;
        host_stream_close(stream);
    }
}

size_t host_stream_queued(const struct host_stream *stream)
{
    return stream->out.size - stream->out_used;
}

void host_stream_hold(struct host_stream *stream, bool hold)
{
    if (stream->hold == hold)
        return;
    stream->hold = hold;
    if (!hold && waiting(stream))
        kick(stream);
}

void host_stream_close(struct host_stream *stream)
{
    if (stream->closed)
        return;
    stream->closed = true;
    ev_io_stop(stream->worker->loop, &stream->io);
    ev_timer_stop(stream->worker->loop, &stream->kick);
    ev_timer_stop(stream->worker->loop, &stream->linger);
    SSL_free(stream->ssl);
    stream->ssl = NULL;
    close(stream->fd);
    stream->fd = -1;
    free_when_unused(stream);
}

void host_stream_finish(struct host_stream *stream)
{
    if (stream->closed || stream->finishing)
        return;
    if (stream->failure || stream->state == STATE_CONNECTING || stream->state == STATE_HANDSHAKE) {
        host_stream_close(stream);
        return;
    }
    stream->finishing = true;
    stream->hold = false;
    host_bytes_clear(&stream->in);
    stream->in_used = 0;
    ev_timer_start(stream->worker->loop, &stream->linger);
    mark_dirty(stream); /* goes out, and is shut down, before the loop waits */
}

int host_stream_fd(const struct host_stream *stream)
{
    return stream->fd;
}

bool host_stream_secure(const struct host_stream *stream)
{
    return stream->ssl && stream->state == STATE_OPEN;
}

SSL *host_stream_ssl(struct host_stream *stream)
{
    return host_stream_secure(stream) ? stream->ssl : NULL;
}

unsigned long long host_stream_received(const struct host_stream *stream)
{
    return stream->received;
}

unsigned long long host_stream_sent(const struct host_stream *stream)
{
    return stream->sent;
}
