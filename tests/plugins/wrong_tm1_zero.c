/* SPDX-License-Identifier: MIT */

/* TM1: a timer of no seconds. */

#include "wrong.h"

static void fired(void *data) {}

bool mq_smtp_in_connect(MQ_Context *context, MQ_Connection *connection)
{
    MQ_startTimer(context, 0.0f, fired, NULL);
    return false;
}
