/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "host/connection.h"
#include "host/handle.h"
#include "host/host.h"
#include "host/session_state.h"
#include "host/stream.h"
#include "host/worker.h"

static const struct host *host_of(const struct host_session *session)
{
    return session->worker->host;
}

/* Whether mq_smtp_in_data is to be called with the message's bytes. */
static bool shows_data(const struct host_session *session)
{
    return host_chain_wanted(host_of(session), HOST_EVENT_DATA) &&
           host_of(session)->knobs.data != HOST_DATA_AT_COMMAND;
}

static void start_data(struct host_session *session)
{
    const struct host_options *options = host_of(session)->options;
    struct host_transaction *transaction = &session->transaction;
    host_bytes_clear(&transaction->mime);
    host_bytes_clear(&transaction->raw);
    host_dotstream_init(&transaction->dots, options->max_size, HOST_DATA_LINE_MAX);
    session->phase = HOST_PHASE_DATA;
    host_session_reply(session, "354 End data with <CR><LF>.<CR><LF>");
}

/* data=at-command: the event comes before the first byte. */
static void on_command_done(MQ_Connection *connection, void *data)
{
    struct host_session *session = data;
    enum host_answer answer = host_session_answer(session);
    if (answer == HOST_ANSWER_CLOSE)
        host_session_end(session);
    else if (answer == HOST_ANSWER_REPLY)
        start_data(session);
    else
        host_session_reset(session);
}

void host_session_data_command(struct host_session *session)
{
    if (host_of(session)->knobs.data == HOST_DATA_AT_COMMAND &&
        host_chain_wanted(host_of(session), HOST_EVENT_DATA))
        host_session_offer(session, HOST_EVENT_DATA, NULL, on_command_done);
    else
        start_data(session);
}

static void on_data_done(MQ_Connection *connection, void *data)
{
    struct host_session *session = data;
    struct host_transaction *transaction = &session->transaction;
    size_t seen = connection->chain.arguments.data_size;
    enum host_answer answer = host_session_answer(session);
    host_dotstream_drop(&transaction->dots, &transaction->raw, seen);
    transaction->plugin_replied |= answer != HOST_ANSWER_REPLY;
    transaction->plugin_refused |= answer == HOST_ANSWER_REFUSED;
    transaction->plugin_objected |= connection->sent_code >= 400;
    if (answer == HOST_ANSWER_CLOSE)
        host_session_end(session);
}

/* Shows one piece when enough is there; false when more bytes have to come first. */
static bool show_piece(struct host_session *session)
{
    const struct host_knobs *knobs = &host_of(session)->knobs;
    const struct host_transaction *transaction = &session->transaction;
    const char *bytes;
    size_t size = host_dotstream_sent(&transaction->dots, &transaction->mime, &transaction->raw, &bytes);
    size_t piece = knobs->data == HOST_DATA_WHOLE ? SIZE_MAX : (size_t)knobs->data_chunk;
    if (size == 0 || (size < piece && !transaction->data_over))
        return false;
    if (size > piece)
        size = piece;
    host_session_offer(session, HOST_EVENT_DATA, &(struct host_arguments){.data = bytes, .data_size = size},
                       on_data_done);
    return true;
}

bool host_session_data_step(struct host_session *session)
{
    struct host_transaction *transaction = &session->transaction;
    bool shows = shows_data(session);
    size_t size, used = 0;
    if (shows && show_piece(session))
        return true;
    if (transaction->data_over) {
        session->phase = HOST_PHASE_CHECK;
        return true;
    }
    const char *input = host_stream_input(session->stream, &size);
    if (!size)
        return false;
    /* not much more than a piece at a time: a plugin may pause at each */
    if (shows && host_of(session)->knobs.data == HOST_DATA_CHUNKS &&
        size > (size_t)host_of(session)->knobs.data_chunk)
        size = (size_t)host_of(session)->knobs.data_chunk;
    bool wants_raw = shows && !host_of(session)->knobs.data_unstuffed;
    enum host_dotstream_status status = host_dotstream_feed(
        &transaction->dots, input, size, &used, &transaction->mime, wants_raw ? &transaction->raw : NULL);
    if (status == HOST_DOTSTREAM_NO_MEMORY) {
        host_session_reply(session, "452 4.3.1 No memory for this message");
        host_session_end(session);
        return false;
    }
    host_stream_consume(session->stream, status == HOST_DOTSTREAM_END ? used : size);
    transaction->data_over = status == HOST_DOTSTREAM_END;
    return true;
}

/* The reply to a message that cannot be taken; NULL when it can. */
static const char *objection(const struct host_session *session)
{
    const struct host_dotstream *dots = &session->transaction.dots;
    if (dots->too_big)
        return "552 5.3.4 Message too big";
    if (dots->bare_lf || dots->bare_cr)
        return "550 5.6.0 Message with bare CR or LF refused, lines end with CRLF";
    if (dots->long_line)
        return "500 5.6.0 Message with a line that is too long";
    return NULL;
}

static void end_transaction(struct host_session *session)
{
    host_session_reset(session);
    session->phase = HOST_PHASE_COMMAND;
}

static void final_reply(struct host_session *session)
{
    struct host_transaction *transaction = &session->transaction;
    if (transaction->publish_failed) {
        host_session_reply(session, "451 4.3.0 The message could not be stored");
        return;
    }
    host_session_reply(session, "250-Ok, your message has been queued using the following identifiers:");
    for (size_t i = 0; i < transaction->recipient_count; i++)
        host_session_reply(session, "250%c%s for %s", i + 1 < transaction->recipient_count ? '-' : ' ',
                           transaction->recipients[i].id, transaction->recipients[i].address);
}

bool host_session_check_step(struct host_session *session)
{
    struct host_transaction *transaction = &session->transaction;
    const char *reply = objection(session);
    if (transaction->plugin_refused || reply) {
        if (!transaction->plugin_replied)
            host_session_reply(session, "%s", reply);
        end_transaction(session);
        return true;
    }
    if (!host_message_json_extract(transaction->mime.data ? transaction->mime.data : "",
                                   transaction->mime.size, !host_of(session)->knobs.extract_off,
                                   &transaction->extracted)) {
        host_session_reply(session, "452 4.3.1 No memory for this message");
        end_transaction(session);
        return true;
    }
    for (size_t i = 0; i < transaction->recipient_count; i++)
        host_message_json_id(transaction->recipients[i].id);
    session->phase = HOST_PHASE_PUBLISH;
    if (host_of(session)->knobs.message_after_reply && !transaction->plugin_replied) {
        transaction->replied = true;
        final_reply(session);
    }
    transaction->acknowledged =
        transaction->replied || (transaction->plugin_replied && !transaction->plugin_objected);
    return true;
}

static host_json *build_json(struct host_session *session, const struct host_recipient *recipient)
{
    struct host_transaction *transaction = &session->transaction;
    struct host_message_facts facts = {
        .envelope = transaction->sender,
        .hostname = host_of(session)->options->hostname,
        .received = time(NULL),
        .local_ip = session->local_ip,
        .remote_ip = session->remote_ip,
        .local_port = session->local_port,
        .remote_port = session->remote_port,
        .secure = host_stream_secure(session->stream),
        .user = session->connection->authenticated ? session->user : NULL,
        .dsn_ret = *transaction->ret ? transaction->ret : NULL,
        .dsn_envid = *transaction->envid ? transaction->envid : NULL,
        .minimal = host_of(session)->knobs.json_minimal,
    };
    return host_message_json_build(&facts, &transaction->extracted, recipient->address, recipient->id,
                                   recipient->notify, recipient->orcpt);
}

bool host_session_owes(const struct host_session *session)
{
    const struct host_transaction *transaction = &session->transaction;
    return transaction->acknowledged && transaction->published < transaction->recipient_count;
}

static void lose(struct host_session *session, const char *why)
{
    struct host_transaction *transaction = &session->transaction;
    const struct host_recipient *recipient = &transaction->recipients[transaction->published++];
    fprintf(stderr, "lost after it was acknowledged: message %s from <%s> to <%s>: %s\n", recipient->id,
            transaction->sender, recipient->address, why);
    atomic_fetch_add(&session->worker->host->lost, 1);
}

void host_session_note_losses(struct host_session *session, const char *why)
{
    while (host_session_owes(session))
        lose(session, why);
}

/* One recipient's message cannot be published. As long as nothing was acknowledged nothing more is, and the
 * client sends it all again; otherwise the other recipients still get theirs. */
static void fail(struct host_session *session, const char *why)
{
    if (session->transaction.acknowledged) {
        lose(session, why);
    } else {
        session->transaction.published++;
        session->transaction.publish_failed = true;
    }
}

/* Writes one recipient's line. */
static void publish(struct host_session *session, host_json *json, bool local)
{
    int error = host_inbox_write(local ? host_of(session)->local : host_of(session)->inbox, json);
    if (error) {
        fprintf(stderr, "cannot write to the %s: %s\n", local ? "local file" : "inbox",
                mqlua_error_text(error));
        fail(session, mqlua_error_text(error));
    } else {
        session->transaction.published++;
    }
}

static void on_message_done(MQ_Connection *connection, void *data)
{
    struct host_session *session = data;
    MQ_Message *message = connection->chain.arguments.message;
    enum host_answer answer = host_session_answer(session);
    bool local = message->local;
    struct host_transaction *transaction = &session->transaction;
    transaction->message = NULL;
    transaction->acknowledged |= answer != HOST_ANSWER_REPLY && connection->sent_code / 100 == 2;
    host_json *json = host_message_finish(message);
    const struct host_recipient *recipient = &transaction->recipients[transaction->published];
    const char *problem = host_message_json_check(json, recipient->address);
    if (problem)
        host_rule_broken(HOST_RULE_JS2, NULL, NULL, "%s", problem);
    publish(session, json, local);
    host_message_release(json);
    transaction->plugin_replied |= answer != HOST_ANSWER_REPLY;
    transaction->close_after |= answer == HOST_ANSWER_CLOSE;
}

static void end_publishing(struct host_session *session)
{
    struct host_transaction *transaction = &session->transaction;
    bool close_after = transaction->close_after;
    if (!transaction->replied && !transaction->plugin_replied)
        final_reply(session);
    end_transaction(session);
    if (close_after)
        host_session_end(session);
}

bool host_session_publish_step(struct host_session *session)
{
    struct host_transaction *transaction = &session->transaction;
    if (transaction->published == transaction->recipient_count || transaction->publish_failed) {
        end_publishing(session);
        return true;
    }
    const struct host_recipient *recipient = &transaction->recipients[transaction->published];
    host_json *json = build_json(session, recipient);
    if (json && !host_chain_wanted(host_of(session), HOST_EVENT_MESSAGE)) {
        publish(session, json, recipient->local);
        HOST_JSON(put)(json);
        return true;
    }
    MQ_Message *message = json ? host_message_new(session->connection, json) : NULL;
    if (!message) {
        fail(session, "no memory");
        return true;
    }
    message->local = recipient->local;
    transaction->message = message;
    host_session_offer(session, HOST_EVENT_MESSAGE, &(struct host_arguments){.message = message},
                       on_message_done);
    return true;
}
