/* SPDX-License-Identifier: MIT */

/* TM1: stops a timer that has fired. */

#include "wrong.h"

static MQ_Timer *timer;

static void fired(void *data)
{
    MQ_stopTimer(timer);
}

bool mq_smtp_in_connect(MQ_Context *context, MQ_Connection *connection)
{
    timer = MQ_startTimer(context, 0.01f, fired, NULL);
    return false;
}
