/* SPDX-License-Identifier: MIT */
#include "host/guard.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host/rules.h"

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* Makes area i at least size bytes large, readable and writable. */
static char *area_open(struct host_guard *guard, unsigned int i, size_t size)
{
    size_t page = page_size();
    size_t needed = (size / page + 1) * page;
    if (guard->areas[i].size >= needed) {
        if (mprotect(guard->areas[i].base, guard->areas[i].size, PROT_READ | PROT_WRITE) == 0)
            return guard->areas[i].base;
        return NULL;
    }
    if (guard->areas[i].base)
        munmap(guard->areas[i].base, guard->areas[i].size + page);
    guard->areas[i].base = NULL;
    guard->areas[i].size = 0;
    char *base = mmap(NULL, needed + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    if (mprotect(base, needed, PROT_READ | PROT_WRITE) < 0) {
        munmap(base, needed + page);
        return NULL;
    }
    guard->areas[i].base = base;
    guard->areas[i].size = needed;
    return base;
}

const char *host_guard_show(struct host_guard *guard, const char *data, size_t size)
{
    if (!data || guard->off)
        return data;
    unsigned int i = guard->next++ % HOST_GUARD_AREAS;
    char *base = area_open(guard, i, size);
    if (!base)
        host_rule_broken(HOST_RULE_NM1, NULL, NULL, "no memory for a guarded buffer of %zu bytes", size);
    char *copy = base + guard->areas[i].size - size;
    memcpy(copy, data, size);
    return copy;
}

void host_guard_hide(struct host_guard *guard, const char *copy, size_t size, bool wipe)
{
    if (!copy || guard->off)
        return;
    for (unsigned int i = 0; i < HOST_GUARD_AREAS; i++) {
        if (!guard->areas[i].base)
            continue;
        char *end = guard->areas[i].base + guard->areas[i].size;
        if (copy + size != end)
            continue;
        if (wipe)
            explicit_bzero(end - size, size);
        /* gives large areas back to the system and makes every byte unreadable */
        if (guard->areas[i].size > 1 << 20)
            madvise(guard->areas[i].base, guard->areas[i].size, MADV_DONTNEED);
        mprotect(guard->areas[i].base, guard->areas[i].size, PROT_NONE);
        return;
    }
}

void host_guard_free(struct host_guard *guard)
{
    for (unsigned int i = 0; i < HOST_GUARD_AREAS; i++) {
        if (guard->areas[i].base)
            munmap(guard->areas[i].base, guard->areas[i].size + page_size());
        guard->areas[i].base = NULL;
        guard->areas[i].size = 0;
    }
}
