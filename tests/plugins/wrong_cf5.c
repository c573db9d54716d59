/* SPDX-License-Identifier: MIT */

/* CF5: hands back after the close event. */

#include "wrong.h"

static void hand_back(void *connection)
{
    MQ_continue(connection);
}

bool mq_smtp_in_mailfrom(MQ_Context *context, MQ_Connection *connection, MQ_Address *envelope)
{
    return true;
}

bool mq_smtp_in_close(MQ_Context *context, MQ_Connection *connection)
{
    MQ_startTimer(context, 0.01f, hand_back, connection);
    return false;
}
