/* SPDX-License-Identifier: MIT */

/* LO1: leaves a watcher behind. */

#include <unistd.h>

#include "wrong.h"

static void readable(MQ_IOWatcher *watcher, int fd, int events, void *data) {}

void mq_context_initialize(MQ_Context *context)
{
    int ends[2];
    if (pipe(ends) == 0)
        MQ_ioWatch(context, ends[0], MQ_READ, readable, NULL);
}
