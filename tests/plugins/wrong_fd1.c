/* SPDX-License-Identifier: MIT */

/* FD1: changes the flags of the host's socket. */

#include <fcntl.h>

#include "wrong.h"

bool mq_smtp_in_connect(MQ_Context *context, MQ_Connection *connection)
{
    fcntl(MQ_fileDescriptor(connection), F_SETFL, 0);
    return false;
}
