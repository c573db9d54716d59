/* SPDX-License-Identifier: MIT */

/* CF6: retries for ever. */

#include "wrong.h"

static void hand_back(void *connection)
{
    MQ_retry(connection);
}

bool mq_smtp_in_mailfrom(MQ_Context *context, MQ_Connection *connection, MQ_Address *envelope)
{
    MQ_startTimer(context, 0.001f, hand_back, connection);
    return true;
}
