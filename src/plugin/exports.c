/* SPDX-License-Identifier: MIT */

/*
 * The functions that the host calls. The host gives them a context and nothing of ours before there is one,
 * so the plugin hangs from one pointer here: the only mutable global, set by mq_version before any other
 * thread.
 */

#include "plugin/adopt.h"
#include "plugin/close.h"
#include "plugin/life.h"
#include "plugin/peer.h"
#include "plugin/renew.h"
#include "plugin/run.h"
#include <limits.h>

#define EXPORT __attribute__((visibility("default")))

static mqlua_plugin *plugin;

/* The worker, when it has to look at the event. What no handler wants and nobody has to keep an eye on costs
 * this and no more: it is inside each exported function, in front of everything else. */
static inline mqlua_worker *wanting(MQ_Context *context, mqlua_event event)
{
    if (!plugin || plugin->passive)
        return NULL;
    mqlua_worker *worker = plugin->symbols.context_data(context);
    if (!worker)
        return NULL;
    if (mqlua_renew_is_due(worker))
        mqlua_renew(worker);
    return worker->wanted & MQLUA_BIT(event) ? worker : NULL;
}

static const mqlua_arguments no_arguments;

static inline bool incoming(mqlua_worker *worker, MQ_Connection *connection, mqlua_event event,
                            const mqlua_arguments *arguments)
{
    mqlua_peer *peer = mqlua_peer_get(worker, connection);
    if (!peer)
        return false;
    mqlua_adopt_pin(worker, peer, event);
    return mqlua_run_event(worker, event, connection, peer, arguments);
}

static bool outgoing(mqlua_worker *worker, MQ_Connection *connection, mqlua_event event, MQ_Message *message)
{
    mqlua_arguments arguments = {.message = message};
    return worker->state && mqlua_run_event(worker, event, connection, NULL, &arguments);
}

EXPORT int mq_version(void);
EXPORT void mq_initialize(void);
EXPORT void mq_cleanup(void);
EXPORT void mq_context_initialize(MQ_Context *context);
EXPORT void mq_context_cleanup(MQ_Context *context);
EXPORT bool mq_smtp_in_connect(MQ_Context *context, MQ_Connection *connection);
EXPORT bool mq_smtp_in_secure(MQ_Context *context, MQ_Connection *connection);
EXPORT bool mq_smtp_in_authenticate(MQ_Context *context, MQ_Connection *connection, const char *login,
                                    size_t loginsize, const char *passwd, size_t passwdsize);
EXPORT bool mq_smtp_in_mailfrom(MQ_Context *context, MQ_Connection *connection, MQ_Address *envelope);
EXPORT bool mq_smtp_in_rcptto(MQ_Context *context, MQ_Connection *connection, MQ_Address *address);
EXPORT bool mq_smtp_in_data(MQ_Context *context, MQ_Connection *connection, const char *mime, size_t size);
EXPORT bool mq_smtp_in_message(MQ_Context *context, MQ_Connection *connection, MQ_Message *message);
EXPORT bool mq_smtp_in_close(MQ_Context *context, MQ_Connection *connection);
EXPORT bool mq_smtp_out_data(MQ_Context *context, MQ_Connection *connection, MQ_Message *message);
EXPORT bool mq_smtp_out_sent(MQ_Context *context, MQ_Connection *connection, MQ_Message *message);

int mq_version(void)
{
    if (!plugin)
        plugin = mqlua_plugin_new();
    return plugin ? mqlua_plugin_version(plugin) : INT_MIN;
}

void mq_initialize(void)
{
    if (plugin)
        mqlua_plugin_initialize(plugin);
}

static void end_plugin(double until)
{
    mqlua_plugin *ended = plugin;
    plugin = NULL;
    mqlua_plugin_free(ended, until);
}

void mq_cleanup(void)
{
    double until = mqlua_loop_now() + MQLUA_END_SECONDS;
    if (plugin && mqlua_plugin_cleanup(plugin, until))
        end_plugin(until);
}

void mq_context_initialize(MQ_Context *context)
{
    if (!plugin || plugin->passive)
        return;
    mqlua_plugin_first_context(plugin);
    mqlua_worker_new(plugin, context);
}

void mq_context_cleanup(MQ_Context *context)
{
    if (!plugin || plugin->passive)
        return;
    if (mqlua_worker_free(mqlua_worker_of(plugin, context)))
        end_plugin(mqlua_loop_now() + MQLUA_END_SECONDS);
}

/* A pointer that connects, and not because we asked for that again, is a new connection: whatever is known
 * under it was closed without our being told. */
bool mq_smtp_in_connect(MQ_Context *context, MQ_Connection *connection)
{
    mqlua_worker *worker = wanting(context, MQLUA_IN_CONNECT);
    if (!worker)
        return false;
    mqlua_peer *stale = mqlua_peers_find(&worker->peers, connection);
    if (stale && !mqlua_run_is_again(worker, MQLUA_IN_CONNECT, connection))
        mqlua_peer_close(worker, stale);
    /* That may have been the only reason to look at the event. */
    return worker->wanted & MQLUA_BIT(MQLUA_IN_CONNECT) &&
           incoming(worker, connection, MQLUA_IN_CONNECT, &no_arguments);
}

bool mq_smtp_in_secure(MQ_Context *context, MQ_Connection *connection)
{
    mqlua_worker *worker = wanting(context, MQLUA_IN_SECURE);
    return worker && incoming(worker, connection, MQLUA_IN_SECURE, &no_arguments);
}

#ifndef MQLUA_WITHOUT_AUTHENTICATE
bool mq_smtp_in_authenticate(MQ_Context *context, MQ_Connection *connection, const char *login,
                             size_t loginsize, const char *passwd, size_t passwdsize)
{
    mqlua_worker *worker = wanting(context, MQLUA_IN_AUTHENTICATE);
    return worker && incoming(worker, connection, MQLUA_IN_AUTHENTICATE,
                              &(mqlua_arguments){.login = login,
                                                 .login_size = loginsize,
                                                 .password = passwd,
                                                 .password_size = passwdsize});
}
#endif

bool mq_smtp_in_mailfrom(MQ_Context *context, MQ_Connection *connection, MQ_Address *envelope)
{
    mqlua_worker *worker = wanting(context, MQLUA_IN_MAILFROM);
    return worker && incoming(worker, connection, MQLUA_IN_MAILFROM, &(mqlua_arguments){.address = envelope});
}

bool mq_smtp_in_rcptto(MQ_Context *context, MQ_Connection *connection, MQ_Address *address)
{
    mqlua_worker *worker = wanting(context, MQLUA_IN_RCPTTO);
    return worker && incoming(worker, connection, MQLUA_IN_RCPTTO, &(mqlua_arguments){.address = address});
}

bool mq_smtp_in_data(MQ_Context *context, MQ_Connection *connection, const char *mime, size_t size)
{
    mqlua_worker *worker = wanting(context, MQLUA_IN_DATA);
    return worker &&
           incoming(worker, connection, MQLUA_IN_DATA, &(mqlua_arguments){.bytes = mime, .bytes_size = size});
}

bool mq_smtp_in_message(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    mqlua_worker *worker = wanting(context, MQLUA_IN_MESSAGE);
    return worker && incoming(worker, connection, MQLUA_IN_MESSAGE, &(mqlua_arguments){.message = message});
}

bool mq_smtp_in_close(MQ_Context *context, MQ_Connection *connection)
{
    mqlua_worker *worker = wanting(context, MQLUA_IN_CLOSE);
    mqlua_peer *peer = worker ? mqlua_peer_get(worker, connection) : NULL;
    if (peer)
        mqlua_peer_close(worker, peer);
    return false; /* the connection is gone: there is nothing to take control of */
}

bool mq_smtp_out_data(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    mqlua_worker *worker = wanting(context, MQLUA_OUT_DATA);
    return worker && outgoing(worker, connection, MQLUA_OUT_DATA, message);
}

bool mq_smtp_out_sent(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    mqlua_worker *worker = wanting(context, MQLUA_OUT_SENT);
    if (worker)
        outgoing(worker, connection, MQLUA_OUT_SENT, message);
    return false;
}
