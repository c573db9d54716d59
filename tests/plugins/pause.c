/* SPDX-License-Identifier: MIT */

/*
 * Pauses every incoming event but close for a moment and then continues. Marks the recipient local@... as
 * local, lets user/password in, and counts what it was called for; at the end each context logs its counters.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "mailerq.h"

/* A timer cannot be stopped by the connection it belongs to, so it learns from this that the pause is over.
 */
struct pause {
    MQ_Connection *connection;
    MQ_Timer *timer;
    struct pause *next, *prev;
};

struct counters {
    int connect, secure, authenticate, mailfrom, rcptto, data, message, close;
    struct pause *pauses; /* one for each connection: those that are open at the end get no close event */
};

int mq_version(void)
{
    return MQ_API_VERSION;
}

void mq_context_initialize(MQ_Context *context)
{
    MQ_setContextData(context, calloc(1, sizeof(struct counters)));
}

void mq_context_cleanup(MQ_Context *context)
{
    struct counters *counters = MQ_contextData(context);
    char text[256];
    snprintf(text, sizeof text,
             "connect=%d secure=%d authenticate=%d mailfrom=%d rcptto=%d data=%d message=%d close=%d",
             counters->connect, counters->secure, counters->authenticate, counters->mailfrom,
             counters->rcptto, counters->data, counters->message, counters->close);
    MQ_log(MQ_WARN, text);
    struct pause *pause, *next;
    DL_FOREACH_SAFE(counters->pauses, pause, next)
    {
        free(pause);
    }
    free(counters);
    MQ_setContextData(context, NULL);
}

static void fired(void *data)
{
    struct pause *pause = data;
    MQ_Connection *connection = pause->connection;
    pause->connection = NULL;
    pause->timer = NULL;
    MQ_continue(connection);
}

static bool pause_for_a_moment(MQ_Context *context, MQ_Connection *connection)
{
    struct pause *pause = MQ_connectionData(connection);
    pause->connection = connection;
    pause->timer = MQ_startTimer(context, 0.002f, fired, pause);
    return pause->timer != NULL;
}

static struct counters *counters_of(MQ_Context *context)
{
    return MQ_contextData(context);
}

bool mq_smtp_in_connect(MQ_Context *context, MQ_Connection *connection)
{
    struct counters *counters = counters_of(context);
    struct pause *pause = calloc(1, sizeof *pause);
    DL_APPEND(counters->pauses, pause);
    MQ_setConnectionData(connection, pause);
    counters->connect++;
    return pause_for_a_moment(context, connection);
}

bool mq_smtp_in_secure(MQ_Context *context, MQ_Connection *connection)
{
    counters_of(context)->secure++;
    return pause_for_a_moment(context, connection);
}

bool mq_smtp_in_authenticate(MQ_Context *context, MQ_Connection *connection, const char *login,
                             size_t loginsize, const char *passwd, size_t passwdsize)
{
    counters_of(context)->authenticate++;
    if (loginsize == 4 && memcmp(login, "user", 4) == 0 && passwdsize == 8 &&
        memcmp(passwd, "password", 8) == 0)
        MQ_setAuthenticated(connection, true);
    return pause_for_a_moment(context, connection);
}

bool mq_smtp_in_mailfrom(MQ_Context *context, MQ_Connection *connection, MQ_Address *envelope)
{
    counters_of(context)->mailfrom++;
    return pause_for_a_moment(context, connection);
}

bool mq_smtp_in_rcptto(MQ_Context *context, MQ_Connection *connection, MQ_Address *address)
{
    const char *email = MQ_email(address);
    counters_of(context)->rcptto++;
    if (email && strncmp(email, "local@", 6) == 0)
        MQ_setLocal(address, true);
    return pause_for_a_moment(context, connection);
}

bool mq_smtp_in_data(MQ_Context *context, MQ_Connection *connection, const char *mime, size_t size)
{
    counters_of(context)->data++;
    return pause_for_a_moment(context, connection);
}

bool mq_smtp_in_message(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    counters_of(context)->message++;
    return pause_for_a_moment(context, connection);
}

bool mq_smtp_in_close(MQ_Context *context, MQ_Connection *connection)
{
    struct pause *pause = MQ_connectionData(connection);
    struct counters *counters = counters_of(context);
    counters->close++;
    if (pause->timer)
        MQ_stopTimer(pause->timer);
    DL_DELETE(counters->pauses, pause);
    free(pause);
    MQ_setConnectionData(connection, NULL);
    return false;
}
