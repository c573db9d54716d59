/* SPDX-License-Identifier: MIT */

/* IO4: flags that are those of libev, not of mailerq.h. */

#include <unistd.h>

#include "wrong.h"

static void readable(MQ_IOWatcher *watcher, int fd, int events, void *data) {}

bool mq_smtp_in_connect(MQ_Context *context, MQ_Connection *connection)
{
    int ends[2];
    if (pipe(ends) < 0)
        return false;
    MQ_ioWatch(context, ends[0], 1, readable, NULL);
    return false;
}
