/* SPDX-License-Identifier: MIT */

/* LO1: leaves a timer behind. */

#include "wrong.h"

static void fired(void *data) {}

void mq_context_initialize(MQ_Context *context)
{
    MQ_startTimer(context, 3600.0f, fired, NULL);
}
