/* SPDX-License-Identifier: MIT */

/* Reads the bytes of mq_smtp_in_data after the call: they are not there any more. */

#include "wrong.h"

static const char *kept;

bool mq_smtp_in_data(MQ_Context *context, MQ_Connection *connection, const char *mime, size_t size)
{
    kept = mime;
    return false;
}

bool mq_smtp_in_message(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    return kept && kept[0] == 0x7F;
}
