/* SPDX-License-Identifier: MIT */

/* FD1: closes the host's socket. */

#include <unistd.h>

#include "wrong.h"

bool mq_smtp_in_connect(MQ_Context *context, MQ_Connection *connection)
{
    close(MQ_fileDescriptor(connection));
    return false;
}
