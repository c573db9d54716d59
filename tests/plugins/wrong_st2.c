/* SPDX-License-Identifier: MIT */

/* ST2: changes a message that was sent already. */

#include "wrong.h"

bool mq_smtp_out_sent(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    MQ_setMime(message, "late", 4);
    return false;
}
