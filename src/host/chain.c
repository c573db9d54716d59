/* SPDX-License-Identifier: MIT */
#include "host/chain.h"

#include <string.h>

#include "host/address.h"
#include "host/call.h"
#include "host/connection.h"
#include "host/handle.h"
#include "host/host.h"
#include "host/rules.h"
#include "host/sentinel.h"

enum { RETRIES_MOST = 100 };

/* Longer pauses are reported. */
static const double pause_reported_after = 10.0;

static const char *const event_names[HOST_EVENT_COUNT] = {
    [HOST_EVENT_NONE] = "nothing",
    [HOST_EVENT_CONNECT] = "mq_smtp_in_connect",
    [HOST_EVENT_SECURE] = "mq_smtp_in_secure",
    [HOST_EVENT_AUTHENTICATE] = "mq_smtp_in_authenticate",
    [HOST_EVENT_MAILFROM] = "mq_smtp_in_mailfrom",
    [HOST_EVENT_RCPTTO] = "mq_smtp_in_rcptto",
    [HOST_EVENT_DATA] = "mq_smtp_in_data",
    [HOST_EVENT_MESSAGE] = "mq_smtp_in_message",
    [HOST_EVENT_CLOSE] = "mq_smtp_in_close",
    [HOST_EVENT_OUT_DATA] = "mq_smtp_out_data",
    [HOST_EVENT_OUT_SENT] = "mq_smtp_out_sent",
};

const char *host_chain_event_name(enum host_event event)
{
    return event_names[event];
}

/* The shapes of the exported functions. */
typedef bool (*call_plain)(MQ_Context *, MQ_Connection *);
typedef bool (*call_address)(MQ_Context *, MQ_Connection *, MQ_Address *);
typedef bool (*call_message)(MQ_Context *, MQ_Connection *, MQ_Message *);
typedef bool (*call_bytes)(MQ_Context *, MQ_Connection *, const char *, size_t);
typedef bool (*call_login)(MQ_Context *, MQ_Connection *, const char *, size_t, const char *, size_t);

static bool call_with_bytes(struct host_worker *worker, MQ_Connection *connection, void *function,
                            const char *data, size_t size)
{
    const char *copy = host_guard_show(&worker->guard, data, size);
    bool taken = ((call_bytes)function)(&worker->context, connection, copy, size);
    host_guard_hide(&worker->guard, copy, size, false);
    return taken;
}

static bool call_with_address(struct host_worker *worker, MQ_Connection *connection, void *function)
{
    struct host_chain *chain = &connection->chain;
    const char *text = chain->arguments.address ? chain->arguments.address : "";
    if (worker->host->knobs.api == HOST_API_30)
        return call_with_bytes(worker, connection, function, text, strlen(text));
    MQ_Address *address =
        host_address_new(worker, text, chain->event == HOST_EVENT_RCPTTO ? connection : NULL, NULL);
    bool taken = ((call_address)function)(&worker->context, connection, address);
    host_address_free(address, "its event's call returned");
    return taken;
}

static bool call_with_login(struct host_worker *worker, MQ_Connection *connection, void *function)
{
    const struct host_arguments *arguments = &connection->chain.arguments;
    const char *login = host_guard_show(&worker->guard, arguments->login, arguments->login_size);
    const char *password = host_guard_show(&worker->guard, arguments->password, arguments->password_size);
    bool taken = ((call_login)function)(&worker->context, connection, login, arguments->login_size, password,
                                        arguments->password_size);
    host_guard_hide(&worker->guard, login, arguments->login_size, true);
    host_guard_hide(&worker->guard, password, arguments->password_size, true);
    return taken;
}

static bool call_event(struct host_worker *worker, MQ_Connection *connection, void *function)
{
    struct host_chain *chain = &connection->chain;
    switch (chain->event) {
    case HOST_EVENT_AUTHENTICATE:
        return call_with_login(worker, connection, function);
    case HOST_EVENT_MAILFROM:
    case HOST_EVENT_RCPTTO:
        return call_with_address(worker, connection, function);
    case HOST_EVENT_DATA:
        return call_with_bytes(worker, connection, function, chain->arguments.data,
                               chain->arguments.data_size);
    case HOST_EVENT_MESSAGE:
    case HOST_EVENT_OUT_DATA:
    case HOST_EVENT_OUT_SENT:
        return ((call_message)function)(&worker->context, connection, chain->arguments.message);
    default:
        return ((call_plain)function)(&worker->context, connection);
    }
}

/* What every callback has to leave as it was. */
static void check_after(MQ_Connection *connection, const char *event)
{
    if (connection->message)
        host_message_check(connection->message, event);
    host_sentinel_check(connection->sentinel, event);
}

static void finish(MQ_Connection *connection)
{
    struct host_chain *chain = &connection->chain;
    chain->state = HOST_CHAIN_IDLE;
    connection->message = NULL;
    chain->done(connection, chain->data);
}

static void take_pause(struct host_worker *worker, MQ_Connection *connection)
{
    struct host_chain *chain = &connection->chain;
    chain->state = HOST_CHAIN_PAUSED;
    chain->was_paused = true;
    chain->handback_site = NULL;
    chain->paused_at = host_call_clock();
    atomic_fetch_add_explicit(&worker->host->ledger.pauses, 1, memory_order_relaxed);
    if (chain->event == HOST_EVENT_CLOSE)
        host_rule_warn("CL1", "mq_smtp_in_close of %s returned true",
                       worker->host->plugins[chain->plugin].path);
}

/* Offers the event to the plugins from chain->plugin on. */
static void walk(MQ_Connection *connection)
{
    struct host_worker *worker = connection->handle.worker;
    struct host *host = worker->host;
    struct host_chain *chain = &connection->chain;
    for (; chain->plugin < host->plugin_count; chain->plugin++) {
        void *function = host->plugins[chain->plugin].events[chain->event];
        if (!function)
            continue;
        const char *name = event_names[chain->event];
        chain->state = HOST_CHAIN_CALLING;
        chain->early = HOST_HANDBACK_NONE;
        chain->was_paused = false;
        host_sentinel_look(connection->sentinel);
        struct host_frame before = host_call_enter(worker, HOST_CALL_EVENT, chain->plugin, name);
        bool taken = call_event(worker, connection, function);
        host_call_leave(worker, &before);
        check_after(connection, name);
        if (!taken && chain->early)
            host_rule_broken(HOST_RULE_CF2, chain->handback_site, NULL, "%s handed back and returned false",
                             name);
        if (!taken)
            continue;
        enum host_handback early = chain->early;
        const void *site = chain->handback_site;
        take_pause(worker, connection);
        if (early) {
            struct host_frame frame = host_call_enter(worker, HOST_CALL_EVENT, chain->plugin, name);
            host_chain_handback(connection, early, name, site);
            worker->frame = frame;
        }
        return;
    }
    finish(connection);
}

static void resume(MQ_Connection *connection, enum host_handback handback)
{
    struct host_chain *chain = &connection->chain;
    /* a peer that is gone needs no more decisions */
    if (connection->remembered || handback == HOST_HANDBACK_COMPLETE) {
        finish(connection);
        return;
    }
    if (handback == HOST_HANDBACK_RETRY) {
        if (++chain->retries >= RETRIES_MOST)
            host_rule_broken(HOST_RULE_CF6, chain->handback_site, NULL, "%s would never end",
                             event_names[chain->event]);
        chain->plugin = 0;
    } else {
        chain->plugin++;
    }
    walk(connection);
}

static void on_due(struct ev_loop *loop, ev_timer *timer, int events)
{
    MQ_Connection *connection = timer->data;
    resume(connection, connection->chain.handback);
}

void host_chain_run(MQ_Connection *connection, enum host_event event, const struct host_arguments *arguments,
                    host_chain_done done, void *data)
{
    struct host_chain *chain = &connection->chain;
    chain->event = event;
    chain->done = done;
    chain->data = data;
    chain->plugin = 0;
    chain->retries = 0;
    chain->was_paused = false;
    chain->rcpt_local = false;
    connection->sent = false;
    connection->sent_code = 0;
    if (arguments)
        chain->arguments = *arguments;
    else
        memset(&chain->arguments, 0, sizeof chain->arguments);
    connection->message = chain->arguments.message;
    walk(connection);
}

bool host_chain_active(const MQ_Connection *connection)
{
    return connection->chain.state != HOST_CHAIN_IDLE;
}

bool host_chain_paused(const MQ_Connection *connection)
{
    return connection->chain.state == HOST_CHAIN_PAUSED;
}

void host_chain_cancel(MQ_Connection *connection, bool at_shutdown)
{
    struct host_worker *worker = connection->handle.worker;
    struct host_ledger *ledger = &worker->host->ledger;
    struct host_chain *chain = &connection->chain;
    if (chain->state == HOST_CHAIN_PAUSED)
        atomic_fetch_add_explicit(at_shutdown ? &ledger->left : &ledger->closed, 1, memory_order_relaxed);
    ev_timer_stop(worker->loop, &chain->due);
    chain->state = HOST_CHAIN_IDLE;
    connection->message = NULL;
}

bool host_chain_wanted(const struct host *host, enum host_event event)
{
    return host->wanted[event];
}

/* A hand-back without a pause of this plugin is a mistake; which one depends on what came before. */
static void check_handback(MQ_Connection *connection, const char *function, const void *site)
{
    struct host_worker *worker = connection->handle.worker;
    struct host_chain *chain = &connection->chain;
    const char *event = event_names[chain->event];
    switch (chain->state) {
    case HOST_CHAIN_CALLING:
        if (chain->early)
            host_rule_broken(HOST_RULE_CF3, site, chain->handback_site, "%s twice inside %s", function,
                             event);
        if (!worker->host->knobs.sync_continue)
            host_rule_broken(HOST_RULE_CF1, site, NULL, "%s inside %s", function, event);
        return;
    case HOST_CHAIN_DUE:
        host_rule_broken(HOST_RULE_CF3, site, chain->handback_site, "%s for %s", function, event);
    case HOST_CHAIN_IDLE:
        if (chain->event == HOST_EVENT_NONE)
            host_rule_broken(HOST_RULE_CF4, site, NULL, "%s before any event", function);
        if (connection->closed && chain->event != HOST_EVENT_CLOSE)
            host_rule_broken(HOST_RULE_CF5, site, NULL, "%s after %s", function, event);
        if (chain->was_paused)
            host_rule_broken(HOST_RULE_CF3, site, chain->handback_site, "%s for %s", function, event);
        host_rule_broken(HOST_RULE_CF2, site, NULL, "%s after %s", function, event);
    case HOST_CHAIN_PAUSED:
        if (worker->frame.call == HOST_CALL_NONE || worker->frame.plugin != chain->plugin)
            host_rule_broken(HOST_RULE_CF4, site, NULL, "%s by %s during a pause of %s", function,
                             host_call_plugin(worker), worker->host->plugins[chain->plugin].path);
    }
}

void host_chain_handback(MQ_Connection *connection, enum host_handback handback, const char *function,
                         const void *site)
{
    struct host_worker *worker = connection->handle.worker;
    struct host_chain *chain = &connection->chain;
    check_handback(connection, function, site);
    chain->handback_site = site;
    if (chain->state == HOST_CHAIN_CALLING) {
        chain->early = handback;
        return;
    }
    double now = host_call_clock();
    if (now - chain->paused_at > pause_reported_after)
        host_rule_warn("PA1", "%s was paused for %.1f s", event_names[chain->event], now - chain->paused_at);
    atomic_fetch_add_explicit(&worker->host->ledger.handbacks, 1, memory_order_relaxed);
    int mode = worker->host->knobs.continue_mode;
    if (mode == HOST_CONTINUE_ALTERNATE)
        mode = worker->handbacks++ % 2 ? HOST_CONTINUE_DEFERRED : HOST_CONTINUE_INLINE;
    chain->state = HOST_CHAIN_DUE;
    chain->handback = handback;
    if (mode == HOST_CONTINUE_INLINE) {
        resume(connection, handback);
        /* what the host did is not the time of the plugin that handed back */
        worker->frame.excluded += host_call_clock() - now;
        return;
    }
    ev_timer_init(&chain->due, on_due, 0, 0);
    chain->due.data = connection;
    ev_timer_start(worker->loop, &chain->due);
}
