/* SPDX-License-Identifier: MIT */
#pragma once

/* A file that takes one JSON line for each message: inbox, local and results. Any thread may write. */

#include "host/json_lib.h"

struct host_inbox;

/* Opens a file for appending, or a FIFO; NULL and "-" mean standard output. NULL with errno on failure. */
struct host_inbox *host_inbox_open(const char *path);

/* Writes the object and a line end as a whole; lines of several threads do not mix. The object stays the
 * caller's. 0, or an errno value (the message must then not be acknowledged): what was written of a line that
 * failed half-way is cut off again where the file allows it, else ended with a line end before the next one.
 */
int host_inbox_write(struct host_inbox *inbox, host_json *json);

/* Lines written so far. Any thread. */
unsigned long host_inbox_count(struct host_inbox *inbox);

/* Syncs and closes; 0, or the errno value of the first failure. NULL is allowed. */
int host_inbox_close(struct host_inbox *inbox);
