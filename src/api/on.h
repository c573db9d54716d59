/* SPDX-License-Identifier: MIT */
#pragma once

/* mq.on and mq.configure: what a policy registered while it loaded. One registry for each vm; fixed when
 * loading is over. */

#include "api/env.h"
#include "mq/event.h"

typedef struct mqlua_handler {
    int function; /* registry reference */
    int on_error; /* registry reference to a verdict or function; LUA_NOREF: the policy's, else the default */
    double timeout; /* seconds; 0: the event's deadline alone */
    bool chunks;    /* smtp_in_data with {chunks = true} */
    char name[96];  /* as given, else file:line */
} mqlua_handler;

typedef struct mqlua_handlers {
    mqlua_handler *list;
    int count;
} mqlua_handlers;

struct mqlua_registry {
    mqlua_handlers events[MQLUA_EVENTS + 1]; /* the last one: reload */
    int on_error[MQLUA_EVENTS];              /* mq.configure{on_error}; LUA_NOREF: none */
    double deadline_in, deadline_out;        /* seconds */
    unsigned wanted;                         /* bits of the events that have handlers */
};

/* An empty registry with the deadlines of settings. NULL on lack of memory. */
mqlua_registry *mqlua_registry_new(const mqlua_settings *settings);
void mqlua_registry_free(mqlua_registry *registry);

/* Adds mq.on and mq.configure to the table mq on top of the stack. May raise. */
void mqlua_on_open(lua_State *L);
