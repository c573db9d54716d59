/* SPDX-License-Identifier: MIT */

/* TH1: looks at a message's JSON on a thread of its own. */

#include <pthread.h>

#include "wrong.h"

static void *run(void *message)
{
    MQ_json(message);
    return NULL;
}

bool mq_smtp_in_message(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, message) == 0)
        pthread_join(thread, NULL);
    return false;
}
