/* SPDX-License-Identifier: MIT */

/* Verdicts carried out, with documented functions of the host only. */

#include "plugin/carry.h"
#include "plugin/dispose.h"
#include "plugin/run_internal.h"
#include "api/report.h"
#include "json/tree.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLOSING "421 4.7.0 Closing connection"

/* Commands that a client may have sent ahead (RFC 2920): MAIL, the 100 recipients that any server takes,
 * DATA. */
enum { SENT_AHEAD_MAX = 102 };

static void send_all(mqlua_run *run, const char *data, size_t size)
{
    const mqlua_symbols *symbols = &run->worker->plugin->symbols;
    if (symbols->send(run->host, data, size) < size)
        mqlua_log(symbols, MQLUA_LOG_WARN, "mailerq-lua: the host did not take a reply of %zu bytes", size);
}

/* The only reply to this command. */
static void send_reply(mqlua_run *run, const char *line)
{
    char reply[600];
    send_all(run, reply, (size_t)snprintf(reply, sizeof reply, "%s\r\n", line));
}

/* The last words. The host does not say whether it sends a reply of its own after ours: with 421 lines behind
 * ours, whatever it may send finds nobody who could take it for the reply to another command. One line is
 * enough for a client that leaves at the first; but some (Postfix is one) first read a reply to every command
 * of a transaction that they have sent or mean to send, and each of these needs its 421. */
static void send_farewell(mqlua_run *run, const char *line, int closings)
{
    static const char closing[] = CLOSING "\r\n";
    char reply[600 + SENT_AHEAD_MAX * (sizeof closing - 1)];
    size_t size = (size_t)snprintf(reply, 600, "%s\r\n", line);
    if (run->event >= MQLUA_IN_MAILFROM)
        closings = SENT_AHEAD_MAX;
    for (int i = 0; i < closings; i++, size += sizeof closing - 1)
        memcpy(reply + size, closing, sizeof closing - 1);
    send_all(run, reply, size);
}

static void condemn(mqlua_run *run)
{
    if (!run->peer || run->peer->connection.condemned)
        return;
    run->peer->connection.condemned = true;
    run->worker->condemned++;
    mqlua_worker_update_wanted(run->worker);
}

static const char *text_of(const mqlua_run *run, const char *fallback)
{
    return run->text ? run->text : fallback; /* NULL: it was empty, or there was no memory for a copy */
}

/* reply_after_send = "never": ours is the only reply, and the session goes on. False, and nothing was said:
 * no memory for what must be known when the host publishes the message all the same. */
static bool refuse_and_go_on(mqlua_run *run)
{
    mqlua_transaction *t = &run->peer->connection.transaction;
    if (run->event != MQLUA_IN_RCPTTO)
        t->discard = true;
    else if (!mqlua_names_add(&t->refused, run->email ? run->email : ""))
        return false;
    t->answered = run->event == MQLUA_IN_DATA;
    send_reply(run, text_of(run, "550 5.7.1 Rejected by policy"));
    return true;
}

static mqlua_carried refuse(mqlua_run *run)
{
    bool in_transaction =
        run->event == MQLUA_IN_MAILFROM || run->event == MQLUA_IN_RCPTTO || run->event == MQLUA_IN_DATA;
    if (run->worker->plugin->settings->host.reply_never == 1 && in_transaction && refuse_and_go_on(run))
        return MQLUA_CARRIED_COMPLETE; /* no other plugin may reply once more */
    send_farewell(run, text_of(run, "450 4.7.1 Try again later"), 1);
    condemn(run);
    return MQLUA_CARRIED_HOLD;
}

static mqlua_carried disconnect(mqlua_run *run)
{
    send_farewell(run, text_of(run, CLOSING), 0);
    condemn(run);
    return MQLUA_CARRIED_HOLD;
}

static mqlua_carried accept_login(mqlua_run *run)
{
    run->worker->plugin->symbols.set_authenticated(run->host, true);
    run->peer->connection.authenticated = true;
    mqlua_connection_set_login(&run->peer->connection, run->given.login, run->given.login_size);
    return MQLUA_CARRIED_CONTINUE;
}

static mqlua_carried rerun(mqlua_run *run)
{
    mqlua_worker *worker = run->worker;
    if (run->again || worker->rerun_count == MQLUA_RERUNS) {
        char text[200];
        snprintf(text, sizeof text, "mq.rerun works once per event: this time it counts as mq.done");
        mqlua_report(&run->state->env, mqlua_event_names[run->event], text);
        return MQLUA_CARRIED_CONTINUE;
    }
    worker->reruns[worker->rerun_count++] = (mqlua_rerun){run->host, run->event};
    return MQLUA_CARRIED_RETRY;
}

mqlua_carried mqlua_carry(mqlua_run *run)
{
    if (run->observes)
        return MQLUA_CARRIED_CONTINUE;
    switch (run->kind) {
    case MQLUA_VERDICT_COMPLETE:
        return MQLUA_CARRIED_COMPLETE;
    case MQLUA_VERDICT_RERUN:
        return rerun(run);
    case MQLUA_VERDICT_ACCEPT:
        return accept_login(run);
    case MQLUA_VERDICT_REJECT:
    case MQLUA_VERDICT_TEMPFAIL:
        return refuse(run);
    case MQLUA_VERDICT_DISCONNECT:
        return disconnect(run);
    case MQLUA_VERDICT_DISCARD:
        mqlua_dispose_discard(run, text_of(run, "discarded by policy"));
        return MQLUA_CARRIED_CONTINUE;
    case MQLUA_VERDICT_QUARANTINE:
        mqlua_dispose_quarantine(run, run->text, run->reason ? run->reason : "");
        return MQLUA_CARRIED_CONTINUE;
    case MQLUA_VERDICT_HOLD:
        return MQLUA_CARRIED_HOLD;
    default: /* done, deny */
        return MQLUA_CARRIED_CONTINUE;
    }
}

mqlua_carried mqlua_carry_condemned(mqlua_run *run)
{
    if (!run->state) { /* no policy that runs */
        send_farewell(run, "421 4.3.0 Service not available", 0);
        condemn(run);
        return MQLUA_CARRIED_HOLD;
    }
    if (!run->has_message)
        return MQLUA_CARRIED_HOLD;
    mqlua_dispose_discard(run, "the connection was rejected");
    return MQLUA_CARRIED_CONTINUE;
}

/* The text of a member of the message's JSON; "" where there is none. */
static const char *member(mqlua_run *run, const char *key)
{
    const mqlua_tree *tree = run->state->env.tree;
    void *root = tree ? run->worker->plugin->symbols.json(run->message.host) : NULL, *node;
    size_t size;
    if (!root || !tree->object_get(tree, root, key, &node) || tree->type(tree, node) != MQLUA_TREE_STRING)
        return "";
    /* cppcheck-suppress returnDanglingLifetime ; the text is the node's, size is only filled */
    return tree->string(tree, node, &size);
}

/* Whether the message is of another sender than the refused one: then its MAIL FROM was not seen, because
 * another plugin completed it, and the refusal is over. */
static bool of_another_sender(mqlua_run *run, const mqlua_transaction *t)
{
    const char *envelope = member(run, "envelope"), *refused = t->envelope ? t->envelope : "";
    mqlua_names one = {(char *[]){(char *)refused}, 1};
    return run->state->env.tree &&
           (!*envelope != !*refused || (*envelope && !mqlua_names_count(&one, envelope)));
}

/* Whether this message is one too many for its mailbox: as many RCPT TO were accepted as messages were let
 * through before. Only a host that publishes what was refused has more of them than that. A message that has
 * no id of its own may be one that came before, called again because another plugin asked for it (MQ_retry):
 * then it is let through, because mail twice is better than none. */
static bool one_too_many(mqlua_run *run, mqlua_transaction *t, const char *recipient, size_t accepted)
{
    const char *id = member(run, "message-id");
    if (!*id || (t->kept_id && strcmp(id, t->kept_id) == 0))
        return false;
    if (mqlua_names_count(&t->kept, recipient) >= accepted)
        return true;
    char *copy = strdup(id);
    if (!copy || !mqlua_names_add(&t->kept, recipient)) {
        free(copy);
        return false;
    }
    free(t->kept_id);
    t->kept_id = copy;
    return false;
}

/* A refusal belongs to a command: a recipient that was offered more often than refused was accepted. */
static bool recipient_refused(mqlua_run *run, mqlua_transaction *t)
{
    const char *recipient = member(run, "recipient");
    size_t refused = *recipient ? mqlua_names_count(&t->refused, recipient) : 0;
    size_t offered = refused ? mqlua_names_count(&t->recipients, recipient) : 0;
    return refused && (offered <= refused || one_too_many(run, t, recipient, offered - refused));
}

/* Whether the message belongs to a later transaction than the one whose data were refused, of which neither
 * MAIL FROM nor RCPT TO was seen, because another plugin completed both. */
static bool of_another_transaction(mqlua_run *run, const mqlua_transaction *t)
{
    const char *recipient = member(run, "recipient");
    return *recipient && !mqlua_names_count(&t->recipients, recipient);
}

bool mqlua_carry_refused(mqlua_run *run)
{
    mqlua_transaction *t = &run->peer->connection.transaction;
    bool another = t->discard && (t->answered ? of_another_transaction(run, t) : of_another_sender(run, t));
    bool discard = t->discard && !another;
    if (!discard && (!t->refused.count || !recipient_refused(run, t)))
        return false;
    mqlua_dispose_discard(run, "it was refused in the SMTP session");
    return true;
}
