/* SPDX-License-Identifier: MIT */

/* BL1: sleeps in a callback. */

#include <unistd.h>

#include "wrong.h"

bool mq_smtp_in_connect(MQ_Context *context, MQ_Connection *connection)
{
    usleep(900000);
    return false;
}
