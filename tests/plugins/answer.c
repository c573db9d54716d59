/* SPDX-License-Identifier: MIT */

/* Answers with MQ_send by itself: 550 to the recipient no@..., 250 to own@..., 421 to a null sender. */

#include <string.h>

#include "mailerq.h"

int mq_version(void)
{
    return MQ_API_VERSION;
}

static void answer(MQ_Connection *connection, const char *reply)
{
    MQ_send(connection, reply, strlen(reply));
}

bool mq_smtp_in_mailfrom(MQ_Context *context, MQ_Connection *connection, MQ_Address *envelope)
{
    const char *email = MQ_email(envelope);
    if (!email || !*email)
        answer(connection, "421 4.7.1 No null senders\r\n");
    return false;
}

bool mq_smtp_in_rcptto(MQ_Context *context, MQ_Connection *connection, MQ_Address *address)
{
    const char *email = MQ_email(address);
    if (email && strncmp(email, "no@", 3) == 0)
        answer(connection, "550 5.1.1 Nobody\r\n");
    else if (email && strncmp(email, "own@", 4) == 0)
        answer(connection, "250 2.1.5 Mine\r\n");
    return false;
}
