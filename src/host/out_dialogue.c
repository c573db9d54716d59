/* SPDX-License-Identifier: MIT */

#include "host/out_dialogue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ascii.h"
#include "host/base64.h"
#include "host/host.h"
#include "host/stream.h"

typedef struct host_out_connection out;

static bool positive(const out *connection)
{
    return connection->reply.code / 100 == 2;
}

static void say(out *connection, enum host_out_state state, const char *verb)
{
    struct host_bytes text = {0};
    host_bytes_add_text(&text, verb); /* without memory the line is empty, and the peer complains */
    host_out_connection_say(connection, state, &text);
}

static void say_hello(out *connection, enum host_out_state state)
{
    struct host_bytes text = {0};
    const struct host_options *options = host_outgoing_host(connection->home->outgoing)->options;
    host_bytes_printf(&text, "%s %s", state == HOST_OUT_HELO ? "HELO" : "EHLO",
                      options->hostname ? options->hostname : "localhost");
    host_out_connection_say(connection, state, &text);
}

/* The peer does not want this connection: nothing more can be done on it. */
static void give_up(out *connection)
{
    host_out_connection_record(connection, "error", NULL);
    host_out_connection_quit(connection);
}

/* The peer does not want this message. 421 says that it is about to close. */
static void refuse(out *connection)
{
    bool closing = connection->reply.code == 421;
    host_out_connection_record(connection, "error", NULL);
    if (closing)
        host_out_connection_quit(connection);
    else
        say(connection, HOST_OUT_RSET, "RSET");
}

/* Appends " NAME=value" in xtext (RFC 3461 section 4). */
static void add_xtext(struct host_bytes *text, const char *name, const char *value)
{
    host_bytes_printf(text, " %s=", name);
    for (; *value; value++) {
        unsigned char c = (unsigned char)*value;
        if (c <= ' ' || c >= 0x7f || c == '+' || c == '=')
            host_bytes_printf(text, "+%02X", c);
        else
            host_bytes_add(text, value, 1);
    }
}

/* A member of dsn that may stand in a command: letters and commas. */
static const char *dsn_word(host_json *dsn, const char *name)
{
    const char *word = host_json_text(dsn, name, NULL);
    for (const char *c = word; c && *c; c++)
        if (!(*c >= 'A' && *c <= 'Z') && !(*c >= 'a' && *c <= 'z') && *c != ',')
            return NULL;
    return word && *word ? word : NULL;
}

static bool is_ascii(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] & 0x80)
            return false;
    return true;
}

static void say_mail(out *connection)
{
    const struct host_delivery *delivery = connection->delivery;
    struct host_bytes text = {0};
    bool wide = !is_ascii(delivery->envelope, strlen(delivery->envelope)) ||
                !is_ascii(delivery->recipient, strlen(delivery->recipient));
    if (wide && !connection->offers.utf8) {
        connection->state = HOST_OUT_MAIL;
        host_out_connection_record(connection, "invalid", "the peer does not offer SMTPUTF8");
        host_out_connection_idle(connection);
        return;
    }
    host_bytes_printf(&text, "MAIL FROM:<%s>", delivery->envelope);
    if (delivery->mime && connection->offers.size)
        host_bytes_printf(&text, " SIZE=%zu", delivery->mime_size);
    if (connection->offers.eightbit && (!delivery->mime || !is_ascii(delivery->mime, delivery->mime_size)))
        host_bytes_add_text(&text, " BODY=8BITMIME");
    if (wide)
        host_bytes_add_text(&text, " SMTPUTF8");
    host_json *dsn = connection->offers.dsn ? host_json_get(delivery->json, "dsn") : NULL;
    const char *ret = dsn_word(dsn, "ret");
    const char *envid = host_json_text(dsn, "envid", NULL);
    if (ret)
        host_bytes_printf(&text, " RET=%s", ret);
    if (envid && *envid)
        add_xtext(&text, "ENVID", envid);
    host_out_connection_say(connection, HOST_OUT_MAIL, &text);
}

static void say_rcpt(out *connection)
{
    struct host_bytes text = {0};
    host_json *dsn = connection->offers.dsn ? host_json_get(connection->delivery->json, "dsn") : NULL;
    const char *notify = dsn_word(dsn, "notify");
    const char *orcpt = host_json_text(dsn, "orcpt", NULL);
    host_bytes_printf(&text, "RCPT TO:<%s>", connection->delivery->recipient);
    if (notify)
        host_bytes_printf(&text, " NOTIFY=%s", notify);
    if (orcpt && strchr(orcpt, ';'))
        add_xtext(&text, "ORCPT", orcpt);
    host_out_connection_say(connection, HOST_OUT_RCPT, &text);
}

/* AUTH PLAIN, or the first message where no login is wanted. */
static void say_auth_or_mail(out *connection)
{
    const char *user = connection->target.user;
    const char *password = connection->target.password ? connection->target.password : "";
    struct host_bytes secret = {0}, text = {0};
    if (!user || connection->authentication) {
        say_mail(connection);
        return;
    }
    host_bytes_add(&secret, "", 1);
    host_bytes_add(&secret, user, strlen(user) + 1);
    host_bytes_add_text(&secret, password);
    char *encoded = host_base64_encode(secret.data, secret.size);
    host_bytes_printf(&text, "AUTH PLAIN %s", encoded ? encoded : "=");
    free(encoded);
    host_bytes_free(&secret);
    host_out_connection_say(connection, HOST_OUT_AUTH, &text);
}

/* True when a list such as "LOGIN PLAIN" has that word. */
static bool has_word(const char *list, size_t size, const char *word)
{
    size_t length = strlen(word);
    for (size_t at = 0; at + length <= size; at++)
        if (mqlua_ascii_same(list + at, word, length) && (at == 0 || list[at - 1] == ' ') &&
            (at + length == size || list[at + length] == ' '))
            return true;
    return false;
}

static void note_offers(out *connection)
{
    const char *list;
    size_t size;
    const struct host_reply *reply = &connection->reply;
    connection->offers.starttls = host_reply_offers(reply, "STARTTLS", NULL, NULL);
    connection->offers.size = host_reply_offers(reply, "SIZE", NULL, NULL);
    connection->offers.eightbit = host_reply_offers(reply, "8BITMIME", NULL, NULL);
    connection->offers.utf8 = host_reply_offers(reply, "SMTPUTF8", NULL, NULL);
    connection->offers.dsn = host_reply_offers(reply, "DSN", NULL, NULL);
    connection->offers.plain =
        host_reply_offers(reply, "AUTH", &list, &size) && has_word(list, size, "PLAIN");
}

static void on_intro(out *connection)
{
    if (!positive(connection)) {
        give_up(connection);
        return;
    }
    const char *text = connection->reply.text.data ? connection->reply.text.data : "";
    snprintf(connection->mta, sizeof connection->mta, "%.*s", (int)strcspn(text, " \n"), text);
    say_hello(connection, HOST_OUT_EHLO);
}

static void on_ehlo(out *connection)
{
    struct host *host = host_outgoing_host(connection->home->outgoing);
    if (!positive(connection)) {
        if (connection->reply.code / 100 == 5)
            say_hello(connection, HOST_OUT_HELO);
        else
            give_up(connection);
        return;
    }
    note_offers(connection);
    bool secure = host_stream_secure(connection->stream);
    if (connection->offers.starttls && !secure && !connection->tls_refused && host->tls_client)
        say(connection, HOST_OUT_STARTTLS, "STARTTLS");
    else
        say_auth_or_mail(connection);
}

static void on_helo(out *connection)
{
    if (positive(connection))
        say_mail(connection);
    else
        give_up(connection);
}

static void on_starttls(out *connection)
{
    if (connection->reply.code == 220) {
        host_out_connection_starttls(connection);
        return;
    }
    connection->tls_refused = true; /* security is opportunistic here */
    say_auth_or_mail(connection);
}

static void on_auth(out *connection)
{
    if (!positive(connection)) {
        give_up(connection);
        return;
    }
    connection->authentication = "plain";
    say_mail(connection);
}

static void on_mail(out *connection)
{
    if (positive(connection))
        say_rcpt(connection);
    else
        refuse(connection);
}

static void on_rcpt(out *connection)
{
    if (positive(connection))
        say(connection, HOST_OUT_DATA, "DATA");
    else
        refuse(connection);
}

static void on_data(out *connection)
{
    if (connection->reply.code == 354)
        host_out_connection_send(connection);
    else
        refuse(connection);
}

static void on_message(out *connection)
{
    bool closing = connection->reply.code == 421;
    host_out_connection_record(connection, positive(connection) ? "accepted" : "error", NULL);
    if (closing)
        host_out_connection_quit(connection);
    else
        host_out_connection_idle(connection);
}

static void on_rset(out *connection)
{
    if (positive(connection))
        host_out_connection_idle(connection);
    else
        host_out_connection_quit(connection);
}

/* Nobody asked: a peer that says 421, or one that is out of step. */
static void on_unexpected(out *connection)
{
    if (connection->delivery)
        host_out_connection_record(connection, "invalid", "the peer spoke out of turn");
    host_out_connection_quit(connection);
}

static void (*const on_reply[])(out *connection) = {
    [HOST_OUT_CONNECT] = on_unexpected, [HOST_OUT_INTRO] = on_intro,
    [HOST_OUT_EHLO] = on_ehlo,          [HOST_OUT_HELO] = on_helo,
    [HOST_OUT_STARTTLS] = on_starttls,  [HOST_OUT_HANDSHAKE] = on_unexpected,
    [HOST_OUT_AUTH] = on_auth,          [HOST_OUT_MAIL] = on_mail,
    [HOST_OUT_RCPT] = on_rcpt,          [HOST_OUT_DATA] = on_data,
    [HOST_OUT_MESSAGE] = on_message,    [HOST_OUT_RSET] = on_rset,
    [HOST_OUT_IDLE] = on_unexpected,
};

void host_out_dialogue_reply(out *connection)
{
    on_reply[connection->state](connection);
}

void host_out_dialogue_ready(out *connection)
{
    if (connection->state == HOST_OUT_HANDSHAKE)
        say_hello(connection, HOST_OUT_EHLO);
    else
        connection->state = HOST_OUT_INTRO;
}

void host_out_dialogue_start(out *connection)
{
    say_mail(connection);
}

/* MailerQ's names of the states. */
static const char *const state_names[] = {
    [HOST_OUT_CONNECT] = "connect", [HOST_OUT_INTRO] = "intro",       [HOST_OUT_EHLO] = "ehlo",
    [HOST_OUT_HELO] = "helo",       [HOST_OUT_STARTTLS] = "starttls", [HOST_OUT_HANDSHAKE] = "handshake",
    [HOST_OUT_AUTH] = "authplain",  [HOST_OUT_MAIL] = "mailfrom",     [HOST_OUT_RCPT] = "rcptto",
    [HOST_OUT_DATA] = "data",       [HOST_OUT_MESSAGE] = "message",   [HOST_OUT_RSET] = "idle",
    [HOST_OUT_IDLE] = "idle",
};

void host_out_dialogue_result(out *connection, struct host_result *result)
{
    bool connected = connection->state != HOST_OUT_CONNECT;
    const struct host_reply *reply = &connection->reply;
    result->state = state_names[connection->state];
    result->mta = connection->mta[0] ? connection->mta : NULL;
    result->from = connected ? connection->from : NULL;
    result->to = connected ? connection->to : NULL;
    result->authentication = connection->authentication;
    result->messages = connected ? connection->messages : -1;
    result->sent_data = connection->sent_data;
    result->dsn = connection->offers.dsn;
    if (connection->stream) {
        result->ssl = host_stream_secure(connection->stream) ? host_stream_ssl(connection->stream) : NULL;
        result->sent_connection = host_stream_sent(connection->stream);
    }
    if (result->description)
        return;
    result->code = reply->code;
    result->status = reply->status;
    result->description = reply->text.data ? reply->text.data : "";
}
