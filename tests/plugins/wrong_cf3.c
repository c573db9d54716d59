/* SPDX-License-Identifier: MIT */

/* CF3: hands back twice. */

#include "wrong.h"

static void hand_back(void *connection)
{
    MQ_continue(connection);
    MQ_continue(connection);
}

bool mq_smtp_in_mailfrom(MQ_Context *context, MQ_Connection *connection, MQ_Address *envelope)
{
    MQ_startTimer(context, 0.01f, hand_back, connection);
    return true;
}
