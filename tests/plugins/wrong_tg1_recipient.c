/* SPDX-License-Identifier: MIT */

/* TG1: takes what MQ_recipient returns for an address, on a host where it is a string. */

#include "wrong.h"

bool mq_smtp_in_message(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    return MQ_email(MQ_recipient(message)) == NULL;
}
