/* SPDX-License-Identifier: MIT */

/* JS2: a recipient that is no address. */

#include "wrong.h"

bool mq_smtp_in_message(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    MQ_setRecipient(message, "nobody", 6);
    return false;
}
