/* SPDX-License-Identifier: MIT */

/* ST1: a recipient that is NULL. */

#include "wrong.h"

bool mq_smtp_in_message(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    MQ_setRecipient(message, NULL, 0);
    return false;
}
