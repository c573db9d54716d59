/* SPDX-License-Identifier: MIT */

/* What the strict host allows and warns of, once each. */

#include <unistd.h>

#include "mailerq.h"

static int data;

static void fired(void *connection)
{
    MQ_continue(connection);
}

int mq_version(void)
{
    return MQ_API_VERSION;
}

bool mq_smtp_in_connect(MQ_Context *context, MQ_Connection *connection)
{
    MQ_ev(context);
    MQ_setAuthenticated(connection, false);
    MQ_setConnectionData(connection, &data);
    usleep(120000);
    return false;
}

bool mq_smtp_in_close(MQ_Context *context, MQ_Connection *connection)
{
    if (MQ_fileDescriptor(connection) != -1)
        return false;
    return MQ_startTimer(context, 0.01f, fired, connection) != NULL;
}

bool mq_smtp_out_data(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    MQ_setEnvelope(message, "late@b.example", 14);
    MQ_setConnectionData(connection, &data);
    return false;
}

bool mq_smtp_out_sent(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    return MQ_startTimer(context, 1.5f, fired, connection) != NULL;
}
