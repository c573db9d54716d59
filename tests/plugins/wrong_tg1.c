/* SPDX-License-Identifier: MIT */

/* TG1: takes a connection for an address. */

#include "wrong.h"

bool mq_smtp_in_connect(MQ_Context *context, MQ_Connection *connection)
{
    return MQ_email((MQ_Address *)connection) != NULL;
}
