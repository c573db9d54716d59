/* SPDX-License-Identifier: MIT */
#pragma once

/* Copies of buffers that end at an unmapped page and are gone after the call. Worker thread only. */

#include <stdbool.h>
#include <stddef.h>

enum { HOST_GUARD_AREAS = 16 };

struct host_guard {
    bool off; /* strict=off: plugins see the host's own buffers */
    struct {
        char *base;
        size_t size; /* without the guard page */
    } areas[HOST_GUARD_AREAS];
    unsigned int next;
};

/* A copy of data whose last byte is followed by an unmapped page; NULL for NULL. Aborts without memory. */
const char *host_guard_show(struct host_guard *guard, const char *data, size_t size);

/* Makes a copy unreadable; with wipe its bytes are overwritten first. */
void host_guard_hide(struct host_guard *guard, const char *copy, size_t size, bool wipe);

/* Unmaps everything. */
void host_guard_free(struct host_guard *guard);
