/* SPDX-License-Identifier: MIT */
#pragma once

/* The tag at the start of every handle. */

#include "host/rules.h"
#include "host/types.h"

void host_handle_init(struct host_handle *handle, enum host_kind kind, struct host_worker *worker);

/* Checks a handle that a plugin passed to function: its tag and kind (TG1), the calling thread (TH1), and
 * that it is alive (dead_rule). Returns its worker; aborts otherwise. Any thread. */
struct host_worker *host_handle_check(const void *pointer, enum host_kind kind, enum host_rule dead_rule,
                                      const char *function, const void *site);
