/* SPDX-License-Identifier: MIT */

/* JS1: keeps a reference. */

#include "wrong.h"

extern struct fjson_object *fjson_object_get(struct fjson_object *object);

bool mq_smtp_in_message(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    fjson_object_get(MQ_json(message));
    return false;
}
