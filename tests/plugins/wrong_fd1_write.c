/* SPDX-License-Identifier: MIT */

/* FD1: writes to the host's socket. */

#include <unistd.h>

#include "wrong.h"

bool mq_smtp_in_connect(MQ_Context *context, MQ_Connection *connection)
{
    return write(MQ_fileDescriptor(connection), "220 mine\r\n", 10) < 0 && false;
}
