/* SPDX-License-Identifier: MIT */

/* CD1: sets connection data in a timer, where the host does not know whose. */

#include "wrong.h"

static void fired(void *connection)
{
    MQ_setConnectionData(connection, NULL);
}

bool mq_smtp_in_connect(MQ_Context *context, MQ_Connection *connection)
{
    MQ_startTimer(context, 0.01f, fired, connection);
    return false;
}
