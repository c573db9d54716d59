/* SPDX-License-Identifier: MIT */

/* FD1: reads what the client sent. */

#include <poll.h>
#include <sys/socket.h>

#include "wrong.h"

bool mq_smtp_in_connect(MQ_Context *context, MQ_Connection *connection)
{
    char bytes[4];
    struct pollfd input = {.fd = MQ_fileDescriptor(connection), .events = POLLIN};
    return poll(&input, 1, 400) == 1 && recv(input.fd, bytes, sizeof bytes, MSG_DONTWAIT) < 0;
}
