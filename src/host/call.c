/* SPDX-License-Identifier: MIT */
#include "host/call.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host/host.h"
#include "host/rules.h"

/* Seconds that a callback may hold its worker. */
static const double reported_after = 0.050;
static const double aborted_after = 0.500;

double host_call_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

double host_call_queued(const struct host_worker *worker)
{
    char text[96];
    unsigned long long running, waiting;
    if (worker->schedstat < 0)
        return 0;
    ssize_t size = pread(worker->schedstat, text, sizeof text - 1, 0);
    if (size <= 0)
        return 0;
    text[size] = '\0';
    return sscanf(text, "%llu %llu", &running, &waiting) == 2 ? (double)waiting * 1e-9 : 0;
}

const char *host_call_plugin(const struct host_worker *worker)
{
    if (worker->frame.call == HOST_CALL_NONE)
        return "no plugin";
    const char *path = worker->host->plugins[worker->frame.plugin].path;
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

struct host_frame host_call_enter(struct host_worker *worker, enum host_call call, int plugin,
                                  const char *name)
{
    struct host_frame before = worker->frame;
    worker->frame = (struct host_frame){
        .call = call,
        .plugin = plugin,
        .name = name,
        .begin = worker->host->knobs.blocking_off ? 0 : host_call_clock(),
    };
    return before;
}

/* A busy machine must not be blamed on the plugin: time in which this thread was ready to run but had no CPU
 * is taken off. It is known since the loop woke up, which is at least as long as the callback ran. */
static void check_blocking(struct host_worker *worker, double seconds)
{
    double waited = host_call_queued(worker) - worker->queued_before;
    seconds -= waited > 0 ? waited : 0;
    if (seconds < reported_after)
        return;
    if (seconds >= aborted_after)
        host_rule_broken(HOST_RULE_BL1, NULL, NULL, "%s of %s took %.0f ms", worker->frame.name,
                         host_call_plugin(worker), seconds * 1000);
    host_rule_warn("BL1", "%s of %s took %.0f ms", worker->frame.name, host_call_plugin(worker),
                   seconds * 1000);
}

void host_call_leave(struct host_worker *worker, const struct host_frame *before)
{
    /* blocking is documented as acceptable in mq_context_* */
    if (!worker->host->knobs.blocking_off && worker->frame.call != HOST_CALL_CONTEXT) {
        double seconds = host_call_clock() - worker->frame.begin - worker->frame.excluded;
        if (seconds >= reported_after)
            check_blocking(worker, seconds);
    }
    worker->frame = *before;
}
