/* SPDX-License-Identifier: MIT */

/* Uses context data in a timer, where the host does not know whose: it is somebody else's pointer. */

#include <stdlib.h>

#include "wrong.h"

static void fired(void *context)
{
    ++*(char *)MQ_contextData(context);
    MQ_log(MQ_INFO, "it was mine");
}

void mq_context_initialize(MQ_Context *context)
{
    MQ_setContextData(context, calloc(1, sizeof(char)));
}

void mq_context_cleanup(MQ_Context *context)
{
    free(MQ_contextData(context));
    MQ_setContextData(context, NULL);
}

bool mq_smtp_in_connect(MQ_Context *context, MQ_Connection *connection)
{
    MQ_startTimer(context, 0.01f, fired, context);
    return false;
}
