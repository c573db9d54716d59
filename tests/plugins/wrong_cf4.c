/* SPDX-License-Identifier: MIT */

/* CF4: hands back the pause of another plugin (hold). */

#include "wrong.h"

static void hand_back(void *connection)
{
    MQ_continue(connection);
}

bool mq_smtp_in_connect(MQ_Context *context, MQ_Connection *connection)
{
    MQ_startTimer(context, 1.0f, hand_back, connection);
    return false;
}
