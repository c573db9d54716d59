/* SPDX-License-Identifier: MIT */

/* Never comes back from the call that the environment variable HANG names. */

#include "wrong.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void hang_in(const char *name)
{
    const char *wanted = getenv("HANG");
    while (wanted && strcmp(wanted, name) == 0)
        pause();
}

void mq_cleanup(void)
{
    hang_in("cleanup");
}

void mq_context_initialize(MQ_Context *context) {}

void mq_context_cleanup(MQ_Context *context)
{
    hang_in("context_cleanup");
}

bool mq_smtp_in_mailfrom(MQ_Context *context, MQ_Connection *connection, MQ_Address *envelope)
{
    hang_in("mailfrom");
    return false;
}
