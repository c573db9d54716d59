/* SPDX-License-Identifier: MIT */

/* JS2: leaves JSON that cannot be published. */

#include "wrong.h"

extern void fjson_object_object_del(struct fjson_object *object, const char *key);

bool mq_smtp_in_message(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    fjson_object_object_del(MQ_json(message), "recipient");
    return false;
}
