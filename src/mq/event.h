/* SPDX-License-Identifier: MIT */
#pragma once

/* The events: the exported functions without their mq_. */

#include <stdbool.h>

typedef enum mqlua_event {
    MQLUA_INITIALIZE,
    MQLUA_CLEANUP,
    MQLUA_CONTEXT_INITIALIZE,
    MQLUA_CONTEXT_CLEANUP,
    MQLUA_IN_CONNECT,
    MQLUA_IN_SECURE,
    MQLUA_IN_AUTHENTICATE,
    MQLUA_IN_MAILFROM,
    MQLUA_IN_RCPTTO,
    MQLUA_IN_DATA,
    MQLUA_IN_MESSAGE,
    MQLUA_IN_CLOSE,
    MQLUA_OUT_DATA,
    MQLUA_OUT_SENT,
    MQLUA_EVENTS,                /* how many there are */
    MQLUA_RELOAD = MQLUA_EVENTS, /* mq.on("reload", fn): ours, not the host's */
} mqlua_event;

#define MQLUA_BIT(event) (1u << (event))

/* Their Lua names in the order of the enum, with "reload" last, then NULL. */
extern const char *const mqlua_event_names[MQLUA_EVENTS + 2];

/* MQLUA_EVENTS + 1 when there is none of that name. */
mqlua_event mqlua_event_find(const char *name);

static inline bool mqlua_event_outgoing(mqlua_event event)
{
    return event == MQLUA_OUT_DATA || event == MQLUA_OUT_SENT;
}
