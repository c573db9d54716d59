/* SPDX-License-Identifier: MIT */

/* JS1: gives away a reference that is the host's. */

#include "wrong.h"

extern int fjson_object_put(struct fjson_object *object);

bool mq_smtp_in_message(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    fjson_object_put(MQ_json(message));
    return false;
}
