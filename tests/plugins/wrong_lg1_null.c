/* SPDX-License-Identifier: MIT */

/* LG1: nothing to log. */

#include "wrong.h"

bool mq_smtp_in_connect(MQ_Context *context, MQ_Connection *connection)
{
    MQ_log(MQ_INFO, NULL);
    return false;
}
