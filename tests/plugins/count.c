/* SPDX-License-Identifier: MIT */

/* Exports everything and does nothing: what an event costs at least. */

#include "mailerq.h"

int mq_version(void)
{
    return MQ_API_VERSION;
}

void mq_initialize(void) {}

void mq_cleanup(void) {}

void mq_context_initialize(MQ_Context *context) {}

void mq_context_cleanup(MQ_Context *context) {}

bool mq_smtp_in_connect(MQ_Context *context, MQ_Connection *connection)
{
    return false;
}

bool mq_smtp_in_secure(MQ_Context *context, MQ_Connection *connection)
{
    return false;
}

bool mq_smtp_in_authenticate(MQ_Context *context, MQ_Connection *connection, const char *login,
                             size_t loginsize, const char *passwd, size_t passwdsize)
{
    return false;
}

bool mq_smtp_in_mailfrom(MQ_Context *context, MQ_Connection *connection, MQ_Address *envelope)
{
    return false;
}

bool mq_smtp_in_rcptto(MQ_Context *context, MQ_Connection *connection, MQ_Address *address)
{
    return false;
}

bool mq_smtp_in_data(MQ_Context *context, MQ_Connection *connection, const char *mime, size_t size)
{
    return false;
}

bool mq_smtp_in_message(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    return false;
}

bool mq_smtp_in_close(MQ_Context *context, MQ_Connection *connection)
{
    return false;
}

bool mq_smtp_out_data(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    return false;
}

bool mq_smtp_out_sent(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    return false;
}
