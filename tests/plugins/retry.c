/* SPDX-License-Identifier: MIT */

/* Asks for every incoming event but close once more, as any plugin may (MQ_retry): the plugins in front of it
 * are called twice for one command. That it has asked is kept as what the connection has of it. */

#include "mailerq.h"

static int asked;

int mq_version(void)
{
    return MQ_API_VERSION;
}

static void fired(void *data)
{
    MQ_retry(data);
}

static bool once_more(MQ_Context *context, MQ_Connection *connection)
{
    bool again = MQ_connectionData(connection) != NULL;
    MQ_setConnectionData(connection, again ? NULL : &asked);
    return !again && MQ_startTimer(context, 0.001f, fired, connection) != NULL;
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
    MQ_setConnectionData(connection, NULL);
    return false;
}
