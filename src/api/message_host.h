/* SPDX-License-Identifier: MIT */
#pragma once

/* What a message of the host consists of here, for those that look at it: api/message.h has its life. */

#include "api/address.h"
#include "api/env.h"
#include "json/doc.h"
#include "mq/event.h"
#include "vm/object.h"

typedef struct mqlua_message {
    mqlua_slot slot;      /* moves on at the end of the event */
    mqlua_slot mime_slot; /* moves on when another MIME is committed */
    MQ_Message *host;     /* NULL: over */
    mqlua_env *env;
    struct mqlua_message *next, *previous; /* in env->messages */
    mqlua_event event;
    mqlua_local local;
    int object;         /* registry reference, or LUA_NOREF */
    mqlua_doc document; /* begun when first asked for */
} mqlua_message;

/* The text that the host has under key ("recipient"); what is staged is not looked at. False: there is none.
 * Never raises. */
bool mqlua_message_text(const mqlua_message *message, const char *key, const char **text, size_t *size);
