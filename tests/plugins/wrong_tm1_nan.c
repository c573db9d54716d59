/* SPDX-License-Identifier: MIT */

/* TM1: a timer of no number of seconds. */

#include <math.h>

#include "wrong.h"

static void fired(void *data) {}

bool mq_smtp_in_connect(MQ_Context *context, MQ_Connection *connection)
{
    MQ_startTimer(context, NAN, fired, NULL);
    return false;
}
