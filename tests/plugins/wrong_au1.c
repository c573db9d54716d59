/* SPDX-License-Identifier: MIT */

/* AU1: authenticates an outgoing session. */

#include "wrong.h"

bool mq_smtp_out_data(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    MQ_setAuthenticated(connection, true);
    return false;
}
