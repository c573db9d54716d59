/* SPDX-License-Identifier: MIT */

/* TG1: keeps an address beyond its event. */

#include "wrong.h"

static MQ_Address *kept;

bool mq_smtp_in_mailfrom(MQ_Context *context, MQ_Connection *connection, MQ_Address *envelope)
{
    kept = envelope;
    return false;
}

bool mq_smtp_in_rcptto(MQ_Context *context, MQ_Connection *connection, MQ_Address *address)
{
    return MQ_email(kept) == NULL;
}
