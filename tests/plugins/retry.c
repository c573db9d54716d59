/* SPDX-License-Identifier: MIT */

/* Asks for every incoming event but close once more, as any plugin may (MQ_retry): the plugins in front of it
 * are called twice for one command. */

#include <stdlib.h>
#include <utlist.h>

#include "mailerq.h"

struct retry {
    MQ_Connection *connection;
    MQ_Timer *timer; /* it has taken control */
    bool asked;
    struct retry *next, *prev;
};

/* Those of a context: not every host tells that a connection closed. */
struct retries {
    struct retry *list;
};

int mq_version(void)
{
    return MQ_API_VERSION;
}

void mq_context_initialize(MQ_Context *context)
{
    MQ_setContextData(context, calloc(1, sizeof(struct retries)));
}

static void end(struct retries *retries, struct retry *retry)
{
    if (retry->timer)
        MQ_stopTimer(retry->timer);
    DL_DELETE(retries->list, retry);
    free(retry);
}

void mq_context_cleanup(MQ_Context *context)
{
    struct retries *retries = MQ_contextData(context);
    while (retries->list)
        end(retries, retries->list);
    free(retries);
    MQ_setContextData(context, NULL);
}

static void fired(void *data)
{
    struct retry *retry = data;
    retry->timer = NULL;
    MQ_retry(retry->connection);
}

static struct retry *retry_of(MQ_Context *context, MQ_Connection *connection)
{
    struct retry *retry = MQ_connectionData(connection);
    if (!retry && (retry = calloc(1, sizeof *retry))) {
        struct retries *retries = MQ_contextData(context);
        DL_APPEND(retries->list, retry);
        MQ_setConnectionData(connection, retry);
        retry->connection = connection;
    }
    return retry;
}

static bool once_more(MQ_Context *context, MQ_Connection *connection)
{
    struct retry *retry = retry_of(context, connection);
    retry->asked = !retry->asked;
    if (retry->asked)
        retry->timer = MQ_startTimer(context, 0.001f, fired, retry);
    return retry->timer != NULL;
}

bool mq_smtp_in_connect(MQ_Context *context, MQ_Connection *connection)
{
    return once_more(context, connection);
}

bool mq_smtp_in_secure(MQ_Context *context, MQ_Connection *connection)
{
    return once_more(context, connection);
}

bool mq_smtp_in_authenticate(MQ_Context *context, MQ_Connection *connection, const char *login,
                             size_t loginsize, const char *passwd, size_t passwdsize)
{
    return once_more(context, connection);
}

bool mq_smtp_in_mailfrom(MQ_Context *context, MQ_Connection *connection, MQ_Address *envelope)
{
    return once_more(context, connection);
}

bool mq_smtp_in_rcptto(MQ_Context *context, MQ_Connection *connection, MQ_Address *address)
{
    return once_more(context, connection);
}

bool mq_smtp_in_data(MQ_Context *context, MQ_Connection *connection, const char *mime, size_t size)
{
    return once_more(context, connection);
}

bool mq_smtp_in_message(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    return once_more(context, connection);
}

bool mq_smtp_in_close(MQ_Context *context, MQ_Connection *connection)
{
    struct retry *retry = MQ_connectionData(connection);
    if (retry)
        end(MQ_contextData(context), retry);
    MQ_setConnectionData(connection, NULL);
    return false;
}
