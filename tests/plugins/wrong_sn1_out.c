/* SPDX-License-Identifier: MIT */

/* SN1: sends in an outgoing session. */

#include "wrong.h"

bool mq_smtp_out_data(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    MQ_send(connection, "QUIT\r\n", 6);
    return false;
}
