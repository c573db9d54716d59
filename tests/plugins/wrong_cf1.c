/* SPDX-License-Identifier: MIT */

/* CF1: hands back before it returned true. */

#include "wrong.h"

bool mq_smtp_in_mailfrom(MQ_Context *context, MQ_Connection *connection, MQ_Address *envelope)
{
    MQ_continue(connection);
    return true;
}
