/* SPDX-License-Identifier: MIT */
#include "host/quarantine.h"

#include <stdlib.h>

#include "host/types.h"

void host_quarantine_put(struct host_quarantine *quarantine, struct host_handle *handle, const char *death,
                         const void *site)
{
    handle->dead = true;
    handle->death = death;
    handle->site = site;
    if (!quarantine->off && !quarantine->handles)
        quarantine->handles = calloc(HOST_QUARANTINE_SIZE, sizeof *quarantine->handles);
    if (quarantine->off || !quarantine->handles) {
        free(handle);
        return;
    }
    free(quarantine->handles[quarantine->next]);
    quarantine->handles[quarantine->next] = handle;
    quarantine->next = (quarantine->next + 1) % HOST_QUARANTINE_SIZE;
}

void host_quarantine_free(struct host_quarantine *quarantine)
{
    for (size_t i = 0; quarantine->handles && i < HOST_QUARANTINE_SIZE; i++)
        free(quarantine->handles[i]);
    free(quarantine->handles);
    quarantine->handles = NULL;
}
