/* SPDX-License-Identifier: MIT */

/* JS3: MIME without an empty line behind its header. */

#include "wrong.h"

bool mq_smtp_out_data(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    MQ_setMime(message, "Subject: a\r\n", 12);
    return false;
}
