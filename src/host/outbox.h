/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The lines of --outbox, read by a thread of their own: a regular file to its end, standard input ("-") to
 * its end, or a FIFO for as long as the program runs (writers may come and go).
 */

#include <stddef.h>

#include "host/json_lib.h"

struct host_outbox;

struct host_outbox_calls {
    /* One line that is not blank: an object (one reference, stolen), or NULL and what is wrong with it
     * (borrowed for the call). May block: nothing is read meanwhile. */
    void (*line)(void *data, unsigned long number, host_json *json, const char *error);
    /* After the last line: error is 0 or an errno value. Not called after host_outbox_stop. */
    void (*end)(void *data, int error);
};

/* Opens it. NULL with errno on failure. */
struct host_outbox *host_outbox_open(const char *path);

/* Starts the thread; the calls come from it. 0 or an errno value. */
int host_outbox_start(struct host_outbox *outbox, const struct host_outbox_calls *calls, void *data);

/* Asks the thread to end after the call it is in. Any thread, also before the start and repeatedly. */
void host_outbox_stop(struct host_outbox *outbox);

/* Stops, joins the thread, closes. Not from that thread. Returns the number of lines that were handed on.
 * NULL is allowed. */
unsigned long host_outbox_close(struct host_outbox *outbox);
