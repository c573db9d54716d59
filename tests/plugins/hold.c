/* SPDX-License-Identifier: MIT */

/* Takes control at MAIL FROM and never gives it back. */

#include "wrong.h"

bool mq_smtp_in_mailfrom(MQ_Context *context, MQ_Connection *connection, MQ_Address *envelope)
{
    return true;
}
