/* SPDX-License-Identifier: MIT */

#include "plugin/worker.h"

/* ---- what to look at ---- */

#define INCOMING_TRANSACTION                                                                                 \
    (MQLUA_BIT(MQLUA_IN_RCPTTO) | MQLUA_BIT(MQLUA_IN_DATA) | MQLUA_BIT(MQLUA_IN_MESSAGE))
#define ALL_INCOMING                                                                                         \
    (MQLUA_BIT(MQLUA_IN_CONNECT) | MQLUA_BIT(MQLUA_IN_SECURE) | MQLUA_BIT(MQLUA_IN_AUTHENTICATE) |           \
     MQLUA_BIT(MQLUA_IN_MAILFROM) | INCOMING_TRANSACTION | MQLUA_BIT(MQLUA_IN_CLOSE))

void mqlua_worker_update_wanted(mqlua_worker *worker)
{
    unsigned wanted = worker->state ? worker->state->env.registry->wanted : 0;
    if (!worker->state && !worker->plugin->settings->start_without_policy)
        wanted = MQLUA_BIT(MQLUA_IN_CONNECT);
    const mqlua_state *old;
    LIST_FOREACH(old, &worker->old, link)
    {
        wanted |= old->env.registry->wanted;
    }
    /* connection.transaction is there for all that follow MAIL FROM and RCPT TO. */
    if (wanted & INCOMING_TRANSACTION)
        wanted |= MQLUA_BIT(MQLUA_IN_MAILFROM) | MQLUA_BIT(MQLUA_IN_RCPTTO);
    /* The addresses cannot be asked for any more when the connection is closed. */
    if (wanted & MQLUA_BIT(MQLUA_IN_CLOSE))
        wanted |= MQLUA_BIT(MQLUA_IN_CONNECT);
    /* A pointer that connects again was closed without our being told. */
    if (worker->peers.count)
        wanted |= MQLUA_BIT(MQLUA_IN_CLOSE) | MQLUA_BIT(MQLUA_IN_CONNECT);
    if (worker->condemned || worker->plugin->settings->host.reply_never == 1)
        wanted |= ALL_INCOMING;
    worker->wanted = wanted;
}

/* ---- what an event cannot do itself ---- */

static void soon_fired(mqlua_timer *timer)
{
    /* The turn that this belongs to does the work in its end. */
}

void mqlua_worker_soon(mqlua_worker *worker)
{
    if (!worker->soon.place && !mqlua_loop_start(worker->loop, &worker->soon, 0, soon_fired))
        mqlua_loop_wake(worker->loop); /* a hand-back is owed, timer or not */
}

mqlua_worker *mqlua_worker_of(const mqlua_plugin *plugin, MQ_Context *context)
{
    return plugin->symbols.context_data(context);
}
