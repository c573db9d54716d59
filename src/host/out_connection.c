/* SPDX-License-Identifier: MIT */

#include "host/out_connection.h"
#include "base/error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "host/chain.h"
#include "host/connection.h"
#include "host/dotstream.h"
#include "host/host.h"
#include "host/json_print.h"
#include "host/out_dialogue.h"
#include "host/rules.h"
#include "host/stream.h"
#include "host/worker.h"

typedef struct host_out_connection out;

enum { REPLY_SECONDS = 60, IDLE_SECONDS = 5 };

static void wait_for_peer(out *connection, double seconds)
{
    connection->timer.repeat = seconds;
    ev_timer_again(connection->home->worker->loop, &connection->timer);
}

static void wait_no_more(out *connection)
{
    ev_timer_stop(connection->home->worker->loop, &connection->timer);
}

static double reply_seconds(const out *connection)
{
    double seconds = host_outgoing_host(connection->home->outgoing)->options->out_timeout;
    return seconds > 0 ? seconds : REPLY_SECONDS;
}

/* ---- life ---- */

/* It frees its place for another one. */
static void release_place(out *connection)
{
    if (!connection->recorded)
        connection->home->active--;
}

static void drop_stream(out *connection, bool politely)
{
    if (connection->handle)
        host_connection_detach(connection->handle);
    if (connection->stream && politely)
        host_stream_finish(connection->stream);
    else if (connection->stream)
        host_stream_close(connection->stream);
    connection->stream = NULL;
}

/* Marks it dead; it goes when nothing is running for it any more. */
static void end(out *connection, bool politely)
{
    if (connection->dead)
        return;
    connection->dead = true;
    wait_no_more(connection);
    release_place(connection);
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        connection->home->connections = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    drop_stream(connection, politely);
    if (connection->handle)
        host_connection_free(connection->handle);
    connection->handle = NULL;
}

static void destroy(out *connection)
{
    struct host_out_worker *home = connection->home;
    host_reply_free(&connection->reply);
    free(connection->target.hostname);
    free(connection->target.user);
    free(connection->target.password);
    free(connection);
    if (!home->leaving)
        host_outgoing_pump(home);
}

static bool in_chain(const out *connection)
{
    return connection->handle && host_chain_active(connection->handle);
}

/* Goes through what the peer sent, as far as no plugin has control. */
static void process(out *connection)
{
    while (!connection->dead && connection->stream && !in_chain(connection)) {
        size_t size, used;
        const char *in = host_stream_input(connection->stream, &size);
        if (!size)
            return;
        enum host_reply_state state = host_reply_feed(&connection->reply, in, size, &used);
        host_stream_consume(connection->stream, used);
        if (state == HOST_REPLY_MORE)
            return;
        if (state == HOST_REPLY_DONE) {
            host_out_dialogue_reply(connection);
        } else {
            if (connection->delivery)
                host_out_connection_record(connection, "invalid", "the peer's reply is no SMTP");
            end(connection, false);
        }
        host_reply_clear(&connection->reply);
    }
}

static void end_lost(out *connection)
{
    if (connection->delivery)
        host_out_connection_record(connection, "lost", connection->why ? connection->why : "connection lost");
    end(connection, false);
}

/* Every entry from the loop or from a plugin is between enter and leave, so that the connection can be ended
 * anywhere in between. */
static void enter(out *connection)
{
    connection->depth++;
}

static void leave(out *connection)
{
    if (connection->depth == 1) {
        process(connection);
        if (connection->lost && !connection->dead && !in_chain(connection))
            end_lost(connection);
    }
    if (--connection->depth == 0 && connection->dead)
        destroy(connection);
}

/* ---- attempts ---- */

void host_out_connection_record(out *connection, const char *what, const char *description)
{
    struct host_result result = {.result = what, .description = description};
    struct host_delivery *delivery = connection->delivery;
    host_json *json = delivery->json;
    host_out_dialogue_result(connection, &result);
    if (!delivery->mime && connection->state == HOST_OUT_DATA && strcmp(what, "error") == 0 && description)
        result.state = delivery->no_mime;
    delivery->json = NULL;
    if (connection->message) {
        json = host_message_finish(connection->message);
        connection->message = NULL;
        connection->handle->message = NULL;
    }
    connection->delivery = NULL;
    connection->sent_data = 0;
    host_outgoing_record(connection->home->outgoing, delivery, json, &result);
}

/* The peer went while a plugin has control in out_data, perhaps for ever: the attempt is over and recorded,
 * from a copy, because the plugin still has the message. The handles stay until the hand-back. */
static void record_while_held(out *connection)
{
    struct host_result result = {.result = "lost", .description = connection->why};
    struct host_delivery *delivery = connection->delivery;
    host_json *copy = NULL;
    const char *error;
    struct host_bytes text = {0};
    if (!host_json_print(&text, connection->message->json) ||
        !host_json_parse(text.data, text.size, &copy, &error))
        copy = NULL;
    host_bytes_free(&text);
    host_out_dialogue_result(connection, &result);
    wait_no_more(connection);
    release_place(connection);
    connection->recorded = true;
    connection->delivery = NULL;
    host_outgoing_record(connection->home->outgoing, delivery, copy, &result);
    drop_stream(connection, false);
    host_outgoing_pump(connection->home);
}

/* ---- what the dialogue asks for ---- */

void host_out_connection_say(out *connection, enum host_out_state state, struct host_bytes *text)
{
    connection->state = state;
    host_bytes_add(text, "\r\n", 2);
    if (text->size)
        host_stream_write(connection->stream, text->data, text->size);
    host_bytes_free(text);
    wait_for_peer(connection, reply_seconds(connection));
}

void host_out_connection_starttls(out *connection)
{
    struct host *host = host_outgoing_host(connection->home->outgoing);
    struct in6_addr address;
    const char *name = connection->target.hostname;
    bool literal = inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1;
    connection->state = HOST_OUT_HANDSHAKE;
    if (host_stream_starttls(connection->stream, host->tls_client, false, literal ? NULL : name)) {
        wait_for_peer(connection, reply_seconds(connection));
        return;
    }
    host_out_connection_record(connection, "error", "TLS could not be started");
    end(connection, false);
}

void host_out_connection_idle(out *connection)
{
    connection->state = HOST_OUT_IDLE;
    if (connection->home->leaving) {
        host_out_connection_quit(connection);
        return;
    }
    wait_for_peer(connection, IDLE_SECONDS);
    host_outgoing_pump(connection->home);
}

void host_out_connection_quit(out *connection)
{
    if (connection->stream)
        host_stream_puts(connection->stream, "QUIT\r\n");
    end(connection, true);
}

static void sent_done(MQ_Connection *handle, void *data)
{
    out *connection = data;
    enter(connection);
    if (ev_now(connection->home->worker->loop) - connection->sent_at > 1)
        host_rule_warn("OS1", "smtp_out_sent kept the peer's answer waiting for more than a second");
    wait_for_peer(connection, reply_seconds(connection));
    leave(connection);
}

/* What goes out: what a plugin set, else what came with the message. NULL when there is nothing right to
 * send; that is recorded. */
static const char *choose_mime(out *connection, size_t *size)
{
    MQ_Message *message = connection->message;
    struct host_delivery *delivery = connection->delivery;
    const char *wrong = NULL;
    if (message->mime) {
        *size = message->mime_size;
        wrong = host_delivery_check_mime(message->mime, message->mime_size, true);
        if (wrong && !host_outgoing_host(connection->home->outgoing)->knobs.strict_off)
            host_rule_broken(HOST_RULE_JS3, NULL, NULL, "%s, after smtp_out_data", wrong);
    } else {
        *size = delivery->mime_size;
    }
    const char *mime = message->mime ? message->mime : delivery->mime;
    if (mime && !wrong)
        return mime;
    host_out_connection_record(connection, wrong ? "invalid" : "error",
                               wrong ? wrong : "nothing here can make MIME of it");
    return NULL;
}

/* out_data is through: the content goes out. */
static void send_content(out *connection)
{
    size_t size;
    struct host_bytes stuffed = {0};
    const char *mime = choose_mime(connection, &size);
    if (!mime) { /* after 354 there is no other way out */
        end(connection, false);
        return;
    }
    if (!host_dotstream_stuff(&stuffed, mime, size)) {
        host_out_connection_record(connection, "error", "no memory");
        end(connection, false);
        return;
    }
    host_stream_write(connection->stream, stuffed.data, stuffed.size);
    connection->sent_data = stuffed.size;
    host_bytes_free(&stuffed);
    connection->sent_at = ev_now(connection->home->worker->loop);
    connection->messages++;
    connection->state = HOST_OUT_MESSAGE;
    connection->message->frozen = true;
    struct host_arguments arguments = {.message = connection->message};
    host_chain_run(connection->handle, HOST_EVENT_OUT_SENT, &arguments, sent_done, connection);
}

static void data_done(MQ_Connection *handle, void *data)
{
    out *connection = data;
    enter(connection);
    if (connection->recorded) {
        host_json *json = host_message_finish(connection->message);
        connection->message = NULL;
        HOST_JSON(put)(json);
        end(connection, false);
    } else if (!connection->lost) {
        send_content(connection);
    }
    leave(connection);
}

void host_out_connection_send(out *connection)
{
    struct host_delivery *delivery = connection->delivery;
    MQ_Message *message = host_message_new(connection->handle, delivery->json);
    delivery->json = NULL;
    wait_no_more(connection); /* a plugin may hold it until the peer goes */
    if (!message) {
        host_out_connection_record(connection, "error", "no memory");
        end(connection, false);
        return;
    }
    connection->message = message;
    struct host_arguments arguments = {.message = message};
    host_chain_run(connection->handle, HOST_EVENT_OUT_DATA, &arguments, data_done, connection);
}

/* ---- stream and timer ---- */

static void on_readable(struct host_stream *stream, void *owner)
{
    enter(owner);
    leave(owner);
}

/* The address of one end as text. */
static void note_address(int fd, bool remote, char text[INET6_ADDRSTRLEN])
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    struct sockaddr *any = (struct sockaddr *)&address;
    text[0] = '\0';
    if ((remote ? getpeername(fd, any, &size) : getsockname(fd, any, &size)) == 0)
        getnameinfo(any, size, text, INET6_ADDRSTRLEN, NULL, 0, NI_NUMERICHOST);
}

static void on_ready(struct host_stream *stream, void *owner)
{
    out *connection = owner;
    enter(connection);
    if (connection->state == HOST_OUT_CONNECT) {
        note_address(host_stream_fd(stream), false, connection->from);
        note_address(host_stream_fd(stream), true, connection->to);
    }
    host_out_dialogue_ready(connection);
    wait_for_peer(connection, reply_seconds(connection));
    leave(connection);
}

static void on_lost(struct host_stream *stream, void *owner, const char *why)
{
    out *connection = owner;
    struct host *host = host_outgoing_host(connection->home->outgoing);
    enter(connection);
    connection->lost = true;
    connection->why = why;
    if (in_chain(connection) && connection->state == HOST_OUT_DATA &&
        host->knobs.disconnect != HOST_DISCONNECT_AFTER_HANDBACK)
        record_while_held(connection);
    leave(connection);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    out *connection = timer->data;
    enter(connection);
    unsigned long long sent = connection->stream ? host_stream_sent(connection->stream) : 0;
    bool progress = sent != connection->sent_before && host_stream_queued(connection->stream) > 0;
    connection->sent_before = sent;
    if (progress) { /* a slow line that is still busy with the content */
        wait_for_peer(connection, reply_seconds(connection));
    } else if (connection->delivery) {
        host_out_connection_record(connection, "timeout", "the peer took too long");
        end(connection, false);
    } else {
        host_out_connection_quit(connection);
    }
    leave(connection);
}

/* ---- public ---- */

static bool copy_target(struct host_delivery *target, const struct host_delivery *delivery)
{
    target->address = delivery->address;
    target->address_size = delivery->address_size;
    target->hostname = strdup(delivery->hostname);
    target->user = delivery->user ? strdup(delivery->user) : NULL;
    target->password = delivery->password ? strdup(delivery->password) : NULL;
    return target->hostname && !delivery->user == !target->user && !delivery->password == !target->password;
}

void host_out_connection_open(struct host_out_worker *home, struct host_delivery *delivery)
{
    static const struct host_stream_calls calls = {
        .readable = on_readable, .ready = on_ready, .lost = on_lost};
    out *connection = calloc(1, sizeof *connection);
    if (!connection)
        host_rule_broken(HOST_RULE_NM1, NULL, NULL, "outgoing connection");
    connection->home = home;
    connection->delivery = delivery;
    ev_timer_init(&connection->timer, on_timer, 0, 0);
    connection->timer.data = connection;
    connection->next = home->connections;
    if (connection->next)
        connection->next->previous = connection;
    home->connections = connection;
    home->active++;
    enter(connection);
    const struct sockaddr *address = (const struct sockaddr *)&delivery->address;
    bool ok = copy_target(&connection->target, delivery);
    if (ok)
        connection->stream =
            host_stream_connect(home->worker, address, delivery->address_size, &calls, connection);
    const char *why = ok ? mqlua_error_text(errno) : "no memory";
    if (connection->stream)
        connection->handle = host_connection_new(home->worker, HOST_OUTGOING, connection->stream, connection);
    if (connection->handle) {
        wait_for_peer(connection, reply_seconds(connection));
    } else {
        host_out_connection_record(connection, "error", connection->stream ? "no memory" : why);
        end(connection, false);
    }
    leave(connection);
}

struct host_out_connection *host_out_connection_find(struct host_out_worker *home,
                                                     const struct host_delivery *delivery)
{
    for (out *connection = home->connections; connection; connection = connection->next)
        if (connection->state == HOST_OUT_IDLE && !connection->lost &&
            host_delivery_same_target(&connection->target, delivery))
            return connection;
    return NULL;
}

void host_out_connection_use(out *connection, struct host_delivery *delivery)
{
    enter(connection);
    connection->delivery = delivery;
    host_out_dialogue_start(connection);
    leave(connection);
}

bool host_out_connection_retire(struct host_out_worker *home)
{
    for (out *connection = home->connections; connection; connection = connection->next) {
        if (connection->state != HOST_OUT_IDLE)
            continue;
        enter(connection);
        host_out_connection_quit(connection);
        leave(connection);
        return true;
    }
    return false;
}

void host_out_connection_cut(out *connection)
{
    enter(connection);
    if (in_chain(connection))
        host_chain_cancel(connection->handle, true);
    process(connection); /* the peer's verdict may be there already */
    if (!connection->dead && connection->recorded) {
        host_json *json = host_message_finish(connection->message);
        connection->message = NULL;
        HOST_JSON(put)(json);
    }
    if (!connection->dead) {
        if (!connection->why)
            connection->why = "the host stopped";
        end_lost(connection);
    }
    leave(connection);
}
