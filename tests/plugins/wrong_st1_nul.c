/* SPDX-License-Identifier: MIT */

/* ST1: an address with a NUL byte. */

#include "wrong.h"

bool mq_smtp_in_message(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    MQ_setEnvelope(message, "a@b.example\0x", 13);
    return false;
}
