/* SPDX-License-Identifier: MIT */

/* TH1: hands back on a thread of its own. */

#include <pthread.h>
#include <unistd.h>

#include "wrong.h"

static void *run(void *connection)
{
    usleep(100000);
    MQ_continue(connection);
    return NULL;
}

bool mq_smtp_in_mailfrom(MQ_Context *context, MQ_Connection *connection, MQ_Address *envelope)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, connection) == 0)
        pthread_detach(thread);
    return true;
}
