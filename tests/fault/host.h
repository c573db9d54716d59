/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A host in a few lines, in the same process as the plugin, for tests in which things fail: contexts,
 * connections, messages and a loop, and functions that can be told to fail at their n-th use.
 */

#include "mailerq.h"
#include <stdbool.h>

/* ---- failures ---- */

enum fault_kind {
    FAULT_C, /* malloc and its like, called by the plugin or its libraries; the host's watchers and timers */
    FAULT_LUA, /* what a vm asks for */
};

/* From now on the n-th request (from 0) of that kind fails, once. Requests count only inside the plugin and
 * on this thread. n below zero: none fails. */
void fault_set(enum fault_kind kind, long n);

/* Whether it did. */
bool fault_hit(void);

/* The code between them is the plugin's. They nest with what the plugin calls back. */
void fault_enter(void);
void fault_leave(void);

/* ---- the host ---- */

enum host_hand { HOST_NONE, HOST_CONTINUE, HOST_COMPLETE, HOST_RETRY };

struct MQ_Connection {
    int fd;
    bool authenticated, secure;
    bool paused;         /* a callback returned true, and nothing was handed back yet */
    enum host_hand hand; /* what came back last */
    unsigned sent;       /* calls of MQ_send */
    void *data;
};

struct MQ_Message {
    struct fjson_object *json;
    char *mime;
};

struct MQ_Address {
    char email[100];
    bool local;
};

MQ_Context *host_context(void);

/* A connection of a client, or to a server. */
void host_connect(MQ_Connection *connection);
void host_disconnect(MQ_Connection *connection);

/* One turn of the loop, at most 50 ms. */
void host_turn(void);

/* Turns until the connection is handed back. False when that takes more than five seconds. */
bool host_wait(MQ_Connection *connection);

/* The text of JSON with the members of objects in the order of their names; malloc'ed. */
char *host_json_text(struct fjson_object *json);
