/* SPDX-License-Identifier: MIT */
#include "host/stream_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/bytes.h"
#include "host/worker.h"

enum {
    INPUT_FIRST = 4096,                 /* room for the first read */
    INPUT_MOST = HOST_STREAM_READ_MOST, /* no more is read while so much is waiting */
    OUTPUT_MOST = 1 << 16,              /* nor shown to a server while so much is queued */
    LINGER_SECONDS = 3,
};

static void flush_output(struct host_stream *stream);

static size_t waiting(const struct host_stream *stream)
{
    return stream->in.size - stream->in_used;
}

/* A client that sends commands and reads no replies gets no further ones until it does. */
static bool clogged(const struct host_stream *stream)
{
    return stream->accepted && stream->out.size - stream->out_used >= OUTPUT_MOST;
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
    if (stream->state == HOST_STATE_CONNECTING) {
        events = EV_WRITE;
    } else if (!stream->failure) {
        /* what comes before the last words in plain text are out is no handshake yet */
        if (waiting(stream) < INPUT_MOST && stream->state != HOST_STATE_UPGRADE)
            events |= EV_READ;
        if (stream->write_wanted ||
            (stream->out.size > stream->out_used && stream->state != HOST_STATE_HANDSHAKE))
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

void host_stream_fail(struct host_stream *stream, const char *why)
{
    if (!stream->failure)
        stream->failure = why;
    stream->write_wanted = false;
    kick(stream);
}

/* Reads once. Bytes read; 0 when there is nothing now, no room, or the end was noted. */
static size_t fill(struct host_stream *stream)
{
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
            host_stream_fail(stream, "no memory");
            return 0;
        }
        room = stream->in.capacity - stream->in.size - 1;
    }
    size_t got = host_stream_wire_read(stream, stream->in.data + stream->in.size, room);
    if (!got)
        return 0;
    stream->in.size += got;
    stream->received += got;
    if (got == room && !stream->peek && stream->in.size < INPUT_MOST)
        host_bytes_reserve(&stream->in,
                           stream->in.capacity); /* more is coming: read more at once next time */
    return got;
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
        if (waiting(stream) && !stream->hold && !clogged(stream))
            stream->calls->readable(stream, stream->owner);
        /* only the TLS library can have more that the loop does not know of */
    } while (got && stream->ssl && !stream->closed && stream->state == HOST_STATE_OPEN &&
             waiting(stream) < INPUT_MOST);
    if (stream->closed)
        return;
    if (!waiting(stream) && stream->in.capacity > 2 * INPUT_FIRST && !got)
        host_bytes_free(&stream->in), stream->in_used = 0;
    tell_lost(stream);
}

static void handshake(struct host_stream *stream)
{
    if (host_stream_wire_shake(stream)) {
        stream->state = HOST_STATE_OPEN;
        stream->write_wanted = false;
        stream->calls->ready(stream, stream->owner);
        if (!stream->closed)
            pump(stream);
        return;
    }
    tell_lost(stream); /* if it is */
}

static void connected(struct host_stream *stream)
{
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    stream->state = HOST_STATE_OPEN;
    if (error) {
        host_stream_fail(stream, strerrordesc_np(error));
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
    if (stream->state == HOST_STATE_CONNECTING)
        connected(stream);
    else if (stream->state == HOST_STATE_HANDSHAKE)
        handshake(stream);
    else {
        if (events & EV_WRITE)
            flush_output(stream);
        if (!stream->closed && stream->state == HOST_STATE_OPEN && (events & EV_READ || stream->ssl))
            pump(stream);
    }
    after_event(stream);
}

static void on_kick(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct host_stream *stream = timer->data;
    stream->busy++;
    if (stream->state == HOST_STATE_HANDSHAKE && !stream->failure)
        handshake(stream);
    else if (stream->state == HOST_STATE_OPEN)
        pump(stream);
    else
        tell_lost(stream);
    after_event(stream);
}

static void on_linger(struct ev_loop *loop, ev_timer *timer, int events)
{
    host_stream_close(timer->data);
}

static struct host_stream *stream_new(struct host_worker *worker, int fd, enum host_stream_state state,
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
    struct host_stream *stream = stream_new(worker, fd, HOST_STATE_OPEN, calls, owner);
    if (stream)
        stream->accepted = true;
    return stream;
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
    return stream_new(worker, fd, HOST_STATE_CONNECTING, calls, owner);
}

bool host_stream_starttls(struct host_stream *stream, SSL_CTX *tls, bool server, const char *hostname)
{
    host_bytes_clear(&stream->in);
    stream->in_used = 0;
    SSL *ssl = host_stream_wire_tls(stream->fd, tls, server, hostname);
    if (!ssl)
        return false;
    stream->state = HOST_STATE_UPGRADE;
    flush_output(stream); /* still in plain text: ssl is not set yet */
    stream->ssl = ssl;
    if (stream->out.size == stream->out_used)
        stream->state = HOST_STATE_HANDSHAKE;
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
            host_stream_fail(stream, "lost what was there");
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

/* Everything is out. */
static void drained(struct host_stream *stream)
{
    stream->out_used = 0;
    if (stream->out.capacity > INPUT_MOST)
        host_bytes_free(&stream->out);
    else
        host_bytes_clear(&stream->out);
    if (stream->state == HOST_STATE_UPGRADE) {
        stream->state = HOST_STATE_HANDSHAKE;
        kick(stream);
    } else if (waiting(stream)) {
        kick(stream); /* it may have been clogged */
    }
    if (stream->finishing && !stream->shut) {
        stream->shut = true;
        host_stream_wire_shut(stream);
    }
}

static void flush_output(struct host_stream *stream)
{
    if (stream->closed || stream->state == HOST_STATE_CONNECTING || stream->state == HOST_STATE_HANDSHAKE)
        return;
    while (!stream->failure && stream->out_used < stream->out.size) {
        size_t done = host_stream_wire_write(stream, stream->out.data + stream->out_used,
                                             stream->out.size - stream->out_used);
        if (!done)
            break;
        stream->out_used += done;
        stream->sent += done;
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
        host_stream_fail(stream, "no memory");
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
    if (stream->failure || stream->state == HOST_STATE_CONNECTING || stream->state == HOST_STATE_HANDSHAKE) {
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
    return stream->ssl && stream->state == HOST_STATE_OPEN;
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
