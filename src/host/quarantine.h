/* SPDX-License-Identifier: MIT */
#pragma once

/* Dead handles wait here for a long time before their memory is used again. Worker thread only. */

#include <stdbool.h>
#include <stddef.h>

struct host_handle;

enum { HOST_QUARANTINE_SIZE = 32768 }; /* handles for each worker */

struct host_quarantine {
    void **handles; /* a ring; NULL until the first one */
    size_t next;
    bool off; /* strict=off: freed at once */
};

/* Marks the handle dead and keeps it (free() comes when the ring is full). death is static text. */
void host_quarantine_put(struct host_quarantine *quarantine, struct host_handle *handle, const char *death,
                         const void *site);

/* Frees everything. */
void host_quarantine_free(struct host_quarantine *quarantine);
