/* SPDX-License-Identifier: MIT */

/* JS2: leaves JSON without MIME. */

#include "wrong.h"

extern void fjson_object_object_del(struct fjson_object *object, const char *key);

bool mq_smtp_in_message(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    fjson_object_object_del(MQ_json(message), "mime");
    return false;
}
