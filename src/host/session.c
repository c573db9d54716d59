/* SPDX-License-Identifier: MIT */
#include "host/session.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cidr.h"
#include "host/call.h"
#include "host/connection.h"
#include "host/host.h"
#include "host/proxy.h"
#include "host/session_state.h"
#include "host/stream.h"
#include "host/worker.h"

/* Seconds that the steps of one session may take in a turn of the loop, plugins included. Input that came at
 * once can be thousands of events: the other connections, and the end of the host, have their turn in
 * between. */
static const double TURN = 0.02;

static void free_session(struct host_session *session)
{
    if (session->previous)
        session->previous->next = session->next;
    else
        session->worker->sessions = session->next;
    if (session->next)
        session->next->previous = session->previous;
    ev_timer_stop(session->worker->loop, &session->idle);
    ev_timer_stop(session->worker->loop, &session->more);
    if (session->stream)
        host_stream_close(session->stream);
    host_session_reset(session);
    host_bytes_free(&session->proxy_header);
    host_bytes_free(&session->transaction.mime);
    host_bytes_free(&session->transaction.raw);
    host_session_auth_free(session);
    free(session->user);
    host_connection_free(session->connection);
    free(session);
}

/* The session must not be touched after this, unless the caller is inside the loop of steps. */
static void bury(struct host_session *session)
{
    session->over = true;
    if (!session->advancing)
        free_session(session);
}

static void on_close_done(MQ_Connection *connection, void *data)
{
    bury(data);
}

/* The socket is gone; the plugins hear of it, unless the knobs say otherwise. A client that leaves by itself
 * is not one that was connected at the end: without the event a plugin that holds it would hand it back. */
static void run_close_event(struct host_session *session)
{
    struct host_worker *worker = session->worker;
    bool at_end = worker->stopping && !session->lost;
    session->closing = true;
    session->connection->closed = true;
    ev_timer_stop(worker->loop, &session->idle);
    host_connection_detach(session->connection);
    if (session->silent || !session->introduced || (at_end && !worker->host->knobs.close_on_exit))
        bury(session);
    else
        host_chain_run(session->connection, HOST_EVENT_CLOSE, NULL, on_close_done, session);
}

void host_session_end(struct host_session *session)
{
    if (session->closing)
        return;
    struct host_stream *stream = session->stream;
    session->stream = NULL;
    if (session->lost)
        host_stream_close(stream);
    else
        host_stream_finish(stream);
    run_close_event(session);
}

void host_session_reply(struct host_session *session, const char *format, ...)
{
    char text[1024];
    va_list list;
    if (!session->stream)
        return;
    va_start(list, format);
    int size = vsnprintf(text, sizeof text - 2, format, list);
    va_end(list);
    if (size < 0)
        return;
    if ((size_t)size > sizeof text - 3)
        size = sizeof text - 3;
    memcpy(text + size, "\r\n", 2);
    host_stream_write(session->stream, text, (size_t)size + 2);
}

enum host_answer host_session_answer(const struct host_session *session)
{
    int mode = session->worker->host->knobs.reply_after_send;
    if (!session->connection->sent || mode == HOST_AFTER_SEND_ALWAYS)
        return HOST_ANSWER_REPLY;
    if (mode == HOST_AFTER_SEND_CLOSE)
        return HOST_ANSWER_CLOSE;
    bool knows = mode != HOST_AFTER_SEND_UNAWARE;
    return knows && session->connection->sent_code >= 400 ? HOST_ANSWER_REFUSED : HOST_ANSWER_SILENT;
}

/* done may end the session; being inside the loop of steps, so to speak, keeps it from being freed until done
 * is through. */
static void on_event_done(MQ_Connection *connection, void *data)
{
    struct host_session *session = data;
    bool inside = session->advancing;
    session->advancing = true;
    session->event_done(connection, session);
    session->advancing = inside;
    host_session_advance(session);
}

void host_session_offer(struct host_session *session, enum host_event event,
                        const struct host_arguments *arguments, host_chain_done done)
{
    session->event_done = done;
    host_chain_run(session->connection, event, arguments, on_event_done, session);
}

const char *host_session_line(struct host_session *session, size_t *size, size_t limit)
{
    size_t available;
    const char *input = host_stream_input(session->stream, &available);
    const char *end = memchr(input, '\n', available);
    if (!end || (size_t)(end - input) > limit) {
        if (end) {
            host_stream_consume(session->stream, (size_t)(end - input) + 1);
            session->skipping = true;
        } else if (available <= limit) {
            return NULL;
        } else {
            host_stream_consume(session->stream, available - 1); /* the last byte may be the CR of its end */
            session->skipping = true;
            return NULL;
        }
    } else {
        host_stream_consume(session->stream, (size_t)(end - input) + 1);
    }
    /* cppcheck-suppress nullPointerArithmeticRedundantCheck ; without an end the function returned above */
    *size = (size_t)(end - input);
    if (*size == 0 || input[*size - 1] != '\r') {
        /* a bare LF: what this server takes for two commands another one may take for one */
        host_session_reply(session, "521 5.5.2 Bare LF received, lines end with CRLF");
        host_session_end(session);
        return NULL;
    }
    if (session->skipping) {
        session->skipping = false;
        if (session->phase == HOST_PHASE_AUTH)
            host_session_auth_failed(session, "500 5.5.6 Line too long");
        else
            host_session_reply(session, "500 5.5.2 Line too long");
        return NULL;
    }
    (*size)--;
    return input;
}

/* ---- the way to the first command ---- */

static void plan_opening(struct host_session *session, bool proxied)
{
    const struct host_knobs *knobs = &session->worker->host->knobs;
    enum host_phase *step = session->opening;
    if (proxied && knobs->proxy_before && !session->tls)
        *step++ = HOST_PHASE_CONNECT;
    if (proxied)
        *step++ = HOST_PHASE_PROXY;
    if (session->tls) {
        *step++ = HOST_PHASE_TLS;
        *step++ = HOST_PHASE_HANDSHAKE;
    }
    if (knobs->banner_before)
        *step++ = HOST_PHASE_BANNER;
    if (!proxied || !knobs->proxy_before || session->tls)
        *step++ = HOST_PHASE_CONNECT;
    if (session->tls && knobs->secure_on_implicit)
        *step++ = HOST_PHASE_SECURE;
    if (!knobs->banner_before)
        *step++ = HOST_PHASE_BANNER;
    *step = HOST_PHASE_COMMAND;
    session->phase = session->opening[0];
}

static void next_opening(struct host_session *session)
{
    session->phase = session->opening[++session->opened];
}

static bool proxy_step(struct host_session *session)
{
    struct host_proxy proxy;
    struct host_bytes *header = &session->proxy_header;
    size_t size, used, before = header->size;
    const char *input = host_stream_input(session->stream, &size);
    if (!size)
        return false;
    enum host_proxy_status status = HOST_PROXY_BAD;
    if (host_bytes_add(header, input, size))
        status = host_proxy_parse(header->data, header->size, &proxy, &used);
    if (status == HOST_PROXY_BAD) {
        session->lost = true; /* nobody to talk to: who it is cannot be told */
        host_session_end(session);
        return true;
    }
    /* the whole of a beginning belongs to the header; left in the socket it would wake the loop for ever */
    host_stream_consume(session->stream, status == HOST_PROXY_MORE ? size : used - before);
    if (status == HOST_PROXY_MORE)
        return false;
    host_bytes_free(header);
    host_stream_peek(session->stream, false);
    if (proxy.known) {
        memcpy(session->remote_ip, proxy.remote_ip, sizeof session->remote_ip);
        memcpy(session->local_ip, proxy.local_ip, sizeof session->local_ip);
        session->remote_port = proxy.remote_port;
        session->local_port = proxy.local_port;
    }
    next_opening(session);
    return true;
}

static void on_connect_done(MQ_Connection *connection, void *data)
{
    struct host_session *session = data;
    enum host_answer answer = host_session_answer(session);
    next_opening(session);
    if (answer == HOST_ANSWER_CLOSE)
        host_session_end(session);
    else if (answer != HOST_ANSWER_REPLY && session->phase == HOST_PHASE_BANNER)
        next_opening(session); /* the plugin greeted, or refused to */
}

static void on_secure_done(MQ_Connection *connection, void *data)
{
    struct host_session *session = data;
    if (session->phase == HOST_PHASE_SECURE && session->opening[session->opened] == HOST_PHASE_SECURE)
        next_opening(session);
    else
        session->phase = HOST_PHASE_COMMAND; /* after STARTTLS */
    if (host_session_answer(session) == HOST_ANSWER_CLOSE)
        host_session_end(session);
}

static bool tls_step(struct host_session *session)
{
    next_opening(session);
    if (!host_stream_starttls(session->stream, session->worker->host->tls_server, true, NULL)) {
        session->lost = true;
        host_session_end(session);
    }
    return true;
}

static bool banner_step(struct host_session *session)
{
    host_session_reply(session, "220 %s ESMTP", session->worker->host->options->hostname);
    next_opening(session);
    return true;
}

/* ---- the loop of steps ---- */

static bool line_step(struct host_session *session)
{
    size_t size = 0;
    bool auth = session->phase == HOST_PHASE_AUTH;
    size_t before, after;
    host_stream_input(session->stream, &before);
    const char *line = host_session_line(session, &size, auth ? HOST_AUTH_LINE_MAX : HOST_LINE_MAX);
    if (!line) {
        if (session->over || session->closing)
            return false;
        host_stream_input(session->stream, &after);
        return after < before && !session->skipping; /* a refused line was taken: there may be another */
    }
    if (auth)
        host_session_auth_line(session, line, size);
    else
        host_session_command(session, line, size);
    return true;
}

/* True while a session may be told to leave: nothing of it is in work. */
static bool waits_for_client(const struct host_session *session)
{
    return session->phase == HOST_PHASE_COMMAND || session->phase == HOST_PHASE_AUTH ||
           session->phase == HOST_PHASE_DATA || session->phase < HOST_PHASE_CONNECT;
}

static bool step(struct host_session *session)
{
    if ((session->lost && !host_session_owes(session)) ||
        (session->worker->stopping && waits_for_client(session))) {
        if (!session->lost && session->phase >= HOST_PHASE_CONNECT)
            host_session_reply(session, "421 4.3.2 %s is closing", session->worker->host->options->hostname);
        host_session_end(session);
        return false;
    }
    switch (session->phase) {
    case HOST_PHASE_PROXY:
        return proxy_step(session);
    case HOST_PHASE_TLS:
        return tls_step(session);
    case HOST_PHASE_HANDSHAKE:
        return false;
    case HOST_PHASE_CONNECT:
        session->introduced = true;
        host_session_offer(session, HOST_EVENT_CONNECT, NULL, on_connect_done);
        return true;
    case HOST_PHASE_SECURE:
        host_session_offer(session, HOST_EVENT_SECURE, NULL, on_secure_done);
        return true;
    case HOST_PHASE_BANNER:
        return banner_step(session);
    case HOST_PHASE_COMMAND:
    case HOST_PHASE_AUTH:
        return line_step(session);
    case HOST_PHASE_DATA:
        return host_session_data_step(session);
    case HOST_PHASE_CHECK:
        return host_session_check_step(session);
    case HOST_PHASE_PUBLISH:
        return host_session_publish_step(session);
    }
    return false;
}

void host_session_advance(struct host_session *session)
{
    if (session->advancing)
        return; /* the loop below goes on */
    session->advancing = true;
    double end = host_call_clock() + TURN;
    while (!session->over && !session->closing && !host_chain_active(session->connection) && step(session)) {
        if (host_call_clock() < end)
            continue;
        ev_timer_start(session->worker->loop, &session->more);
        break;
    }
    session->advancing = false;
    if (session->over)
        free_session(session);
    else if (session->stream)
        host_stream_hold(session->stream, host_chain_active(session->connection));
}

/* ---- what comes from the loop ---- */

static void on_readable(struct host_stream *stream, void *owner)
{
    struct host_session *session = owner;
    ev_timer_again(session->worker->loop, &session->idle);
    host_session_advance(session);
}

static void on_ready(struct host_stream *stream, void *owner)
{
    struct host_session *session = owner;
    if (session->phase == HOST_PHASE_HANDSHAKE) {
        if (session->opening[session->opened] == HOST_PHASE_HANDSHAKE)
            next_opening(session);
        else
            session->phase = HOST_PHASE_SECURE; /* after STARTTLS */
    }
    host_session_advance(session);
}

/* The client left, or was silent for too long, while a plugin holds the connection. A message that it
 * believes to be accepted is decided and published all the same, and the plugins hear of the end afterwards.
 */
static void lost_in_pause(struct host_session *session)
{
    int mode = session->worker->host->knobs.disconnect;
    bool owes = host_session_owes(session);
    session->lost = true;
    session->connection->remembered = !owes;
    if (!host_chain_paused(session->connection))
        return; /* already handed back: it goes on from the loop */
    if (mode == HOST_DISCONNECT_DURING_PAUSE && !owes) {
        host_chain_cancel(session->connection, false);
        host_session_end(session);
    } else if (mode == HOST_DISCONNECT_NO_CLOSE) {
        session->silent = true;
    }
}

/* An event of it runs, or is to come because of a promise; its turn of the loop may be over meanwhile. */
static bool is_at_work(const struct host_session *session)
{
    return host_chain_active(session->connection) || host_session_owes(session);
}

static void on_lost(struct host_stream *stream, void *owner, const char *why)
{
    struct host_session *session = owner;
    session->lost = true;
    if (is_at_work(session))
        lost_in_pause(session);
    else
        host_session_end(session);
}

static const struct host_stream_calls stream_calls = {
    .readable = on_readable,
    .ready = on_ready,
    .lost = on_lost,
};

/* Its turn was over before its steps were. */
static void on_more(struct ev_loop *loop, ev_timer *timer, int events)
{
    host_session_advance(timer->data);
}

static void on_idle(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct host_session *session = timer->data;
    ev_timer_stop(loop, timer);
    if (is_at_work(session)) {
        lost_in_pause(session);
        return;
    }
    if (session->phase >= HOST_PHASE_CONNECT)
        host_session_reply(session, "421 4.4.2 %s waited too long", session->worker->host->options->hostname);
    host_session_end(session);
}

/* ---- birth and end ---- */

static void note_address(const struct sockaddr_storage *address, char ip[46], uint16_t *port)
{
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &four->sin_addr, ip, 46);
        *port = ntohs(four->sin_port);
        return;
    }
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
    if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
        inet_ntop(AF_INET, six->sin6_addr.s6_addr + 12, ip, 46);
    else
        inet_ntop(AF_INET6, &six->sin6_addr, ip, 46);
    *port = ntohs(six->sin6_port);
}

static void note_addresses(struct host_session *session, int fd, struct sockaddr_storage *peer)
{
    struct sockaddr_storage own = {0};
    socklen_t size = sizeof own;
    if (getsockname(fd, (struct sockaddr *)&own, &size) == 0)
        note_address(&own, session->local_ip, &session->local_port);
    size = sizeof *peer;
    if (getpeername(fd, (struct sockaddr *)peer, &size) == 0)
        note_address(peer, session->remote_ip, &session->remote_port);
}

void host_session_start(struct host_worker *worker, int fd, bool tls)
{
    struct sockaddr_storage peer = {0};
    struct host_session *session = calloc(1, sizeof *session);
    struct host_stream *stream = NULL;
    if (!session) {
        close(fd);
        return;
    }
    note_addresses(session, fd, &peer);
    stream = host_stream_accept(worker, fd, &stream_calls, session);
    session->connection = stream ? host_connection_new(worker, HOST_INCOMING, stream, session) : NULL;
    if (!session->connection) {
        if (stream)
            host_stream_close(stream);
        free(session);
        return;
    }
    session->worker = worker;
    session->stream = stream;
    session->tls = tls;
    session->next = worker->sessions;
    if (session->next)
        session->next->previous = session;
    worker->sessions = session;
    ev_timer_init(&session->idle, on_idle, 0, worker->host->options->idle_timeout);
    session->idle.data = session;
    ev_timer_init(&session->more, on_more, 0, 0);
    session->more.data = session;
    ev_timer_again(worker->loop, &session->idle);
    bool proxied = mqlua_cidr_contains(worker->host->options->proxies, (const struct sockaddr *)&peer);
    if (proxied)
        host_stream_peek(stream, true);
    plan_opening(session, proxied);
    host_session_advance(session);
}

/* The first session that was not told to leave. Any of them may go while another one is told, so the list is
 * searched from its beginning; those that stay are few. */
static struct host_session *not_told(struct host_worker *worker)
{
    struct host_session *session = worker->sessions;
    while (session && session->told_to_leave)
        session = session->next;
    return session;
}

void host_session_leave_all(struct host_worker *worker)
{
    struct host_session *session;
    while ((session = not_told(worker))) {
        session->told_to_leave = true;
        host_session_advance(session);
    }
}

void host_session_cut_all(struct host_worker *worker)
{
    while (worker->sessions) {
        struct host_session *session = worker->sessions;
        bool close_event = worker->host->knobs.close_on_exit && !session->closing;
        host_session_note_losses(session, "its handler still ran when the grace was over");
        host_chain_cancel(session->connection, !close_event);
        session->lost = true;
        if (close_event) {
            host_session_end(session); /* leaves the list, unless this event is paused too */
            if (worker->sessions != session)
                continue;
            host_chain_cancel(session->connection, true);
        }
        bury(session);
    }
}
