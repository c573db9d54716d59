/* SPDX-License-Identifier: MIT */

/* Completes MAIL FROM and RCPT TO of skip@...: plugins behind it do not see that command. Of again@... only
 * the second call, the fourth and so on: they do not see what one of them asked for once more. */

#include <stdatomic.h>
#include <string.h>

#include "mailerq.h"

int mq_version(void)
{
    return MQ_API_VERSION;
}

static void fired(void *data)
{
    MQ_complete(data);
}

static bool take(MQ_Context *context, MQ_Connection *connection, MQ_Address *address)
{
    static atomic_int calls;
    const char *email = MQ_email(address);
    bool takes = email && strncmp(email, "skip@", 5) == 0;
    if (email && strncmp(email, "again@", 6) == 0)
        takes = ++calls % 2 == 0;
    return takes && MQ_startTimer(context, 0.001f, fired, connection) != NULL;
}

bool mq_smtp_in_mailfrom(MQ_Context *context, MQ_Connection *connection, MQ_Address *envelope)
{
    return take(context, connection, envelope);
}

bool mq_smtp_in_rcptto(MQ_Context *context, MQ_Connection *connection, MQ_Address *address)
{
    return take(context, connection, address);
}
