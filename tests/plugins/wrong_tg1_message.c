/* SPDX-License-Identifier: MIT */

/* TG1: keeps a message beyond its event. */

#include "wrong.h"

static MQ_Message *kept;

bool mq_smtp_in_message(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    kept = message;
    return false;
}

bool mq_smtp_in_close(MQ_Context *context, MQ_Connection *connection)
{
    return kept && MQ_mime(kept) == NULL;
}
