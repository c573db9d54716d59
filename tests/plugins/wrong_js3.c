/* SPDX-License-Identifier: MIT */

/* JS3: MIME with bare line feeds for delivery. */

#include "wrong.h"

bool mq_smtp_out_data(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    MQ_setMime(message, "Subject: a\n\nb\n", 14);
    return false;
}
