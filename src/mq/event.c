/* SPDX-License-Identifier: MIT */

#include "mq/event.h"
#include <string.h>

const char *const mqlua_event_names[MQLUA_EVENTS + 2] = {
    [MQLUA_INITIALIZE] = "initialize",
    [MQLUA_CLEANUP] = "cleanup",
    [MQLUA_CONTEXT_INITIALIZE] = "context_initialize",
    [MQLUA_CONTEXT_CLEANUP] = "context_cleanup",
    [MQLUA_IN_CONNECT] = "smtp_in_connect",
    [MQLUA_IN_SECURE] = "smtp_in_secure",
    [MQLUA_IN_AUTHENTICATE] = "smtp_in_authenticate",
    [MQLUA_IN_MAILFROM] = "smtp_in_mailfrom",
    [MQLUA_IN_RCPTTO] = "smtp_in_rcptto",
    [MQLUA_IN_DATA] = "smtp_in_data",
    [MQLUA_IN_MESSAGE] = "smtp_in_message",
    [MQLUA_IN_CLOSE] = "smtp_in_close",
    [MQLUA_OUT_DATA] = "smtp_out_data",
    [MQLUA_OUT_SENT] = "smtp_out_sent",
    [MQLUA_RELOAD] = "reload",
};

mqlua_event mqlua_event_find(const char *name)
{
    int i = 0;
    while (mqlua_event_names[i] && strcmp(mqlua_event_names[i], name) != 0)
        i++;
    return (mqlua_event)i;
}
