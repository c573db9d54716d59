/* SPDX-License-Identifier: MIT */

/* TG1: takes MQ_setLocal for a function of messages, on a host where it is one of addresses. */

#include "wrong.h"

bool mq_smtp_in_message(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    MQ_setLocal((MQ_Address *)message, true);
    return false;
}
