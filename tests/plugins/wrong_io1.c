/* SPDX-License-Identifier: MIT */

/* IO1: closes a descriptor that is watched. */

#include <unistd.h>

#include "wrong.h"

static void readable(MQ_IOWatcher *watcher, int fd, int events, void *data) {}

bool mq_smtp_in_connect(MQ_Context *context, MQ_Connection *connection)
{
    int ends[2];
    if (pipe(ends) < 0)
        return false;
    MQ_ioWatch(context, ends[0], MQ_READ, readable, NULL);
    close(ends[0]);
    return false;
}
