/* SPDX-License-Identifier: MIT */

/* TM1: resets a timer that has fired, in its own callback. */

#include "wrong.h"

static MQ_Timer *timer;

static void fired(void *data)
{
    MQ_resetTimer(timer, 1.0f);
}

bool mq_smtp_in_connect(MQ_Context *context, MQ_Connection *connection)
{
    timer = MQ_startTimer(context, 0.01f, fired, NULL);
    return false;
}
