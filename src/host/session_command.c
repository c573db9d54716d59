/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "host/connection.h"
#include "host/host.h"
#include "host/session_state.h"
#include "host/stream.h"
#include "host/worker.h"

enum { ERRORS_MOST = 50 };

/* What has to be so before a command is looked at. */
enum {
    NEEDS_GREETING = 1,
    NEEDS_NO_TRANSACTION = 2,
    NEEDS_TRANSACTION = 4,
    NEEDS_RECIPIENT = 8,
    TAKES_NOTHING = 16,
};

struct verb {
    unsigned int needs;
    void (*run)(struct host_session *session, const struct host_smtp_command *command);
};

static const char *hostname(const struct host_session *session)
{
    return session->worker->host->options->hostname;
}

static void free_recipient(struct host_recipient *recipient)
{
    free(recipient->address);
    free(recipient->notify);
    free(recipient->orcpt);
}

void host_session_reset(struct host_session *session)
{
    struct host_transaction *transaction = &session->transaction;
    if (!transaction->open)
        return;
    for (size_t i = 0; i < transaction->recipient_count; i++)
        free_recipient(&transaction->recipients[i]);
    free(transaction->recipients);
    free(transaction->sender);
    if (transaction->message) /* cancelled; a plugin may hold what it likes of the JSON until its clean-up */
        HOST_JSON(put)(host_message_finish(transaction->message));
    host_message_json_extract_free(&transaction->extracted);
    struct host_bytes mime = transaction->mime, raw = transaction->raw;
    memset(transaction, 0, sizeof *transaction);
    /* the buffers of small messages serve the next one */
    if (mime.capacity > 1 << 18)
        host_bytes_free(&mime);
    if (raw.capacity > 1 << 18)
        host_bytes_free(&raw);
    transaction->mime = mime;
    transaction->raw = raw;
}

static void refuse(struct host_session *session, const char *reply)
{
    host_session_reply(session, "%s", reply);
    if (++session->errors < ERRORS_MOST)
        return;
    host_session_reply(session, "421 4.7.0 Too many errors");
    host_session_end(session);
}

static void run_helo(struct host_session *session, const struct host_smtp_command *command)
{
    host_session_reset(session);
    session->greeted = true;
    host_session_reply(session, "250 %s", hostname(session));
}

static void run_ehlo(struct host_session *session, const struct host_smtp_command *command)
{
    host_session_reset(session);
    session->greeted = true;
    host_session_reply(session, "250-%s", hostname(session));
    host_session_reply(session, "250-PIPELINING");
    host_session_reply(session, "250-SIZE %" PRIu64, session->worker->host->options->max_size);
    if (!host_stream_secure(session->stream))
        host_session_reply(session, "250-STARTTLS");
    if (host_session_auth_offered(session))
        host_session_reply(session, "250-AUTH PLAIN LOGIN");
    host_session_reply(session, "250-8BITMIME");
    host_session_reply(session, "250-DSN");
    host_session_reply(session, "250 SMTPUTF8");
}

static void run_starttls(struct host_session *session, const struct host_smtp_command *command)
{
    if (host_stream_secure(session->stream)) {
        host_session_reply(session, "503 5.5.1 TLS is active already");
        return;
    }
    host_session_reply(session, "220 2.0.0 Ready to start TLS");
    host_session_reset(session);
    session->greeted = false;
    if (session->user) { /* what was said in plain text does not count (RFC 3207) */
        free(session->user);
        session->user = NULL;
        session->connection->authenticated = false;
    }
    session->phase = HOST_PHASE_HANDSHAKE;
    if (!host_stream_starttls(session->stream, session->worker->host->tls_server, true, NULL)) {
        session->lost = true;
        host_session_end(session);
    }
}

static void on_mail_done(MQ_Connection *connection, void *data)
{
    struct host_session *session = data;
    struct host_transaction *transaction = &session->transaction;
    const struct host_smtp_command *command = &transaction->pending;
    enum host_answer answer = host_session_answer(session);
    if (answer == HOST_ANSWER_CLOSE) {
        host_session_end(session);
    } else if (answer == HOST_ANSWER_REFUSED) {
        host_session_reset(session);
    } else {
        transaction->sender = strdup(command->address);
        transaction->smtputf8 = command->smtputf8;
        memcpy(transaction->ret, command->ret, sizeof command->ret);
        memcpy(transaction->envid, command->envid, sizeof transaction->envid);
        if (!transaction->sender) {
            host_session_reset(session);
            host_session_reply(session, "451 4.3.0 No memory");
        } else if (answer == HOST_ANSWER_REPLY) {
            host_session_reply(session, "250 2.1.0 Ok");
        }
    }
}

static void run_mail(struct host_session *session, const struct host_smtp_command *command)
{
    struct host_transaction *transaction = &session->transaction;
    uint64_t most = session->worker->host->options->max_size;
    if (most && command->has_size && command->size > most) {
        host_session_reply(session, "552 5.3.4 Message too big, at most %" PRIu64 " bytes", most);
        return;
    }
    transaction->open = true;
    transaction->pending = *command;
    host_session_offer(session, HOST_EVENT_MAILFROM,
                       &(struct host_arguments){.address = transaction->pending.address}, on_mail_done);
}

/* Takes the recipient of the pending command; false without memory. */
static bool add_recipient(struct host_transaction *transaction, bool local)
{
    const struct host_smtp_command *command = &transaction->pending;
    if (transaction->recipient_count == transaction->recipient_room) {
        size_t room = transaction->recipient_room ? 2 * transaction->recipient_room : 4;
        struct host_recipient *grown = realloc(transaction->recipients, room * sizeof *grown);
        if (!grown)
            return false;
        transaction->recipients = grown;
        transaction->recipient_room = room;
    }
    struct host_recipient recipient = {.local = local, .address = strdup(command->address)};
    if (*command->notify)
        recipient.notify = strdup(command->notify);
    if (*command->orcpt)
        recipient.orcpt = strdup(command->orcpt);
    if (!recipient.address || (*command->notify && !recipient.notify) ||
        (*command->orcpt && !recipient.orcpt)) {
        free_recipient(&recipient);
        return false;
    }
    transaction->recipients[transaction->recipient_count++] = recipient;
    return true;
}

static void on_rcpt_done(MQ_Connection *connection, void *data)
{
    struct host_session *session = data;
    bool local = connection->chain.rcpt_local;
    enum host_answer answer = host_session_answer(session);
    if (answer == HOST_ANSWER_CLOSE) {
        host_session_end(session);
    } else if (answer == HOST_ANSWER_REPLY && !local && !connection->authenticated &&
               host_session_auth_required(session)) {
        host_session_reply(session, "530 5.7.0 Authentication required");
    } else if (answer != HOST_ANSWER_REFUSED) {
        bool added = add_recipient(&session->transaction, local);
        if (answer == HOST_ANSWER_REPLY)
            host_session_reply(session, added ? "250 2.1.5 Ok" : "451 4.3.0 No memory");
    }
}

static void run_rcpt(struct host_session *session, const struct host_smtp_command *command)
{
    struct host_transaction *transaction = &session->transaction;
    if (transaction->recipient_count >= session->worker->host->options->max_recipients) {
        host_session_reply(session, "452 4.5.3 Too many recipients");
        return;
    }
    if (command->utf8_address && !transaction->smtputf8) {
        refuse(session, host_smtp_command_reply(HOST_SMTP_NEEDS_UTF8));
        return;
    }
    transaction->pending = *command;
    host_session_offer(session, HOST_EVENT_RCPTTO,
                       &(struct host_arguments){.address = transaction->pending.address}, on_rcpt_done);
}

static void run_data(struct host_session *session, const struct host_smtp_command *command)
{
    host_session_data_command(session);
}

static void run_rset(struct host_session *session, const struct host_smtp_command *command)
{
    host_session_reset(session);
    host_session_reply(session, "250 2.0.0 Ok");
}

static void run_noop(struct host_session *session, const struct host_smtp_command *command)
{
    host_session_reply(session, "250 2.0.0 Ok");
}

static void run_vrfy(struct host_session *session, const struct host_smtp_command *command)
{
    host_session_reply(session, "252 2.5.0 Send some mail, it will be tried");
}

static void run_help(struct host_session *session, const struct host_smtp_command *command)
{
    host_session_reply(session, "214 2.0.0 EHLO HELO STARTTLS AUTH MAIL RCPT DATA RSET NOOP VRFY HELP QUIT");
}

static void run_quit(struct host_session *session, const struct host_smtp_command *command)
{
    host_session_reply(session, "221 2.0.0 %s says goodbye", hostname(session));
    host_session_end(session);
}

static void run_nothing(struct host_session *session, const struct host_smtp_command *command)
{
    host_session_reply(session, "502 5.5.1 Command not implemented");
}

static const struct verb verbs[] = {
    [HOST_SMTP_HELO] = {0, run_helo},
    [HOST_SMTP_EHLO] = {0, run_ehlo},
    [HOST_SMTP_STARTTLS] = {NEEDS_GREETING | TAKES_NOTHING, run_starttls},
    [HOST_SMTP_AUTH] = {NEEDS_GREETING | NEEDS_NO_TRANSACTION, host_session_auth_command},
    [HOST_SMTP_MAIL] = {NEEDS_GREETING | NEEDS_NO_TRANSACTION, run_mail},
    [HOST_SMTP_RCPT] = {NEEDS_TRANSACTION, run_rcpt},
    [HOST_SMTP_DATA] = {NEEDS_TRANSACTION | NEEDS_RECIPIENT | TAKES_NOTHING, run_data},
    [HOST_SMTP_RSET] = {TAKES_NOTHING, run_rset},
    [HOST_SMTP_NOOP] = {0, run_noop},
    [HOST_SMTP_QUIT] = {TAKES_NOTHING, run_quit},
    [HOST_SMTP_VRFY] = {0, run_vrfy},
    [HOST_SMTP_EXPN] = {0, run_nothing},
    [HOST_SMTP_HELP] = {0, run_help},
    [HOST_SMTP_BDAT] = {0, run_nothing},
};

/* The reply to a command that comes at the wrong time; NULL when it does not. */
static const char *wrong_time(const struct host_session *session, unsigned int needs)
{
    const struct host_transaction *transaction = &session->transaction;
    if (needs & NEEDS_GREETING && !session->greeted)
        return "503 5.5.1 Say EHLO first";
    if (needs & NEEDS_NO_TRANSACTION && transaction->open)
        return "503 5.5.1 There is a sender already";
    if (needs & NEEDS_TRANSACTION && !transaction->open)
        return "503 5.5.1 Say MAIL FROM first";
    if (needs & NEEDS_RECIPIENT && !transaction->recipient_count)
        return "554 5.5.1 No valid recipients";
    return NULL;
}

void host_session_command(struct host_session *session, const char *line, size_t size)
{
    struct host_smtp_command command;
    enum host_smtp_error error = host_smtp_command_parse(line, size, &command);
    if (error != HOST_SMTP_OK) {
        refuse(session, host_smtp_command_reply(error));
        return;
    }
    const struct verb *verb = &verbs[command.verb];
    const char *reply = wrong_time(session, verb->needs);
    if (!reply && verb->needs & TAKES_NOTHING && command.argument_size)
        reply = "501 5.5.4 This command takes no argument";
    if (reply) {
        refuse(session, reply);
        return;
    }
    session->errors = 0;
    verb->run(session, &command);
}
