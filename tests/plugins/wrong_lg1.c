/* SPDX-License-Identifier: MIT */

/* LG1: two lines in one. */

#include "wrong.h"

bool mq_smtp_in_connect(MQ_Context *context, MQ_Connection *connection)
{
    MQ_log(MQ_INFO, "one\ntwo");
    return false;
}
