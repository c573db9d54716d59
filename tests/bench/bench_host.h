/* SPDX-License-Identifier: MIT */
#pragma once

/* The host of bench_driver: functions as short as they can be, one thread, one context, no network. */

#include "mailerq.h"
#include <libfastjson/json.h>

struct MQ_Context {
    void *data;
};

struct MQ_Connection {
    void *data;
    bool paused, authenticated;
};

struct MQ_Address {
    const char *email;
};

struct MQ_Message {
    struct fjson_object *json;
    MQ_Address envelope, recipient;
};

/* The value of a string in a message's JSON; NULL: there is none. Borrowed. */
const char *bench_host_text(struct fjson_object *json, const char *key);

/* Seconds of the monotonic clock. */
double bench_host_now(void);

/* Before anything else: sets up the socket that is every connection's. False: there is none. */
bool bench_host_open(void);

/* Seconds of CPU that the process has used. */
double bench_host_cpu(void);

/* One turn of the loop: waits for the first timer or descriptor and calls back. Returns the CPU clock from
 * when it woke. */
double bench_host_turn(void);
