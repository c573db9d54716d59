/* SPDX-License-Identifier: MIT */
#pragma once

/* Plugins: found, loaded in alphabetical order, asked for their version, initialised. Main thread. */

#include <stdbool.h>
#include <stddef.h>

struct host;

/* Loads the plugins of the options. With initialize each mq_initialize is called right after its plugin was
 * loaded (init=each). False with a message in error: unreadable, no plugin, wrong version. */
bool host_loader_load(struct host *host, bool initialize, char *error, size_t size);

/* Calls mq_initialize of all plugins, in order. */
void host_loader_initialize(struct host *host);

/* Calls mq_cleanup of all plugins, in order. */
void host_loader_cleanup(struct host *host);

/* Releases what was noted. The plugins stay in memory: they may have threads or exit handlers. */
void host_loader_free(struct host *host);
