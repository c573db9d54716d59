/* SPDX-License-Identifier: MIT */
#include "host/handle.h"

#include <pthread.h>

#include "host/worker.h"

static const char *const kind_names[] = {"nothing", "context", "connection", "message",
                                         "address", "watcher", "timer"};

enum { KIND_COUNT = sizeof kind_names / sizeof *kind_names };

void host_handle_init(struct host_handle *handle, enum host_kind kind, struct host_worker *worker)
{
    handle->mark[0] = 0xFF;
    handle->mark[1] = 'M';
    handle->mark[2] = 'Q';
    handle->kind = (unsigned char)kind;
    handle->worker = worker;
}

struct host_worker *host_handle_check(const void *pointer, enum host_kind kind, enum host_rule dead_rule,
                                      const char *function, const void *site)
{
    const struct host_handle *handle = pointer;
    if (!handle)
        host_rule_broken(HOST_RULE_TG1, site, NULL, "%s got NULL instead of a %s", function,
                         kind_names[kind]);
    if (handle->mark[0] != 0xFF || handle->mark[1] != 'M' || handle->mark[2] != 'Q' ||
        handle->kind >= KIND_COUNT)
        host_rule_broken(HOST_RULE_TG1, site, NULL, "%s got something that is no handle instead of a %s",
                         function, kind_names[kind]);
    if (handle->kind != kind)
        host_rule_broken(HOST_RULE_TG1, site, NULL, "%s got a %s instead of a %s", function,
                         kind_names[handle->kind], kind_names[kind]);
    if (!pthread_equal(handle->worker->owner, pthread_self()))
        host_rule_broken(HOST_RULE_TH1, site, NULL, "%s was called for a %s of worker %d", function,
                         kind_names[kind], handle->worker->index);
    if (handle->dead)
        host_rule_broken(dead_rule, site, handle->site, "%s got a %s that is over: %s", function,
                         kind_names[kind], handle->death);
    return handle->worker;
}
