/* SPDX-License-Identifier: MIT */

/* TM1: stops a timer twice. */

#include "wrong.h"

static void fired(void *data) {}

bool mq_smtp_in_connect(MQ_Context *context, MQ_Connection *connection)
{
    MQ_Timer *timer = MQ_startTimer(context, 1.0f, fired, NULL);
    MQ_stopTimer(timer);
    MQ_stopTimer(timer);
    return false;
}
