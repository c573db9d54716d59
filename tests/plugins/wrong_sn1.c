/* SPDX-License-Identifier: MIT */

/* SN1: sends after the connection was closed. */

#include "wrong.h"

bool mq_smtp_in_close(MQ_Context *context, MQ_Connection *connection)
{
    MQ_send(connection, "250 Ok\r\n", 8);
    return false;
}
