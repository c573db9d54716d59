/* SPDX-License-Identifier: MIT */
#include "host/loop.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/api.h"
#include "host/call.h"
#include "host/handle.h"
#include "host/host.h"

enum {
    SPURIOUS_EVERY = 8, /* wake-ups of a watcher without cause */
    LATE_MILLISECONDS = 50,
};

static void unlink_timer(MQ_Timer *timer)
{
    if (timer->previous)
        timer->previous->next = timer->next;
    else
        timer->handle.worker->timers = timer->next;
    if (timer->next)
        timer->next->previous = timer->previous;
}

static void end_timer(MQ_Timer *timer, const char *death, const void *site)
{
    struct host_worker *worker = timer->handle.worker;
    ev_timer_stop(worker->loop, &timer->timer);
    unlink_timer(timer);
    host_quarantine_put(&worker->quarantine, &timer->handle, death, site);
}

static void on_timer(struct ev_loop *loop, ev_timer *base, int events)
{
    MQ_Timer *timer = base->data;
    struct host_worker *worker = timer->handle.worker;
    void (*callback)(void *) = timer->callback;
    void *data = timer->data;
    int plugin = timer->plugin;
    end_timer(timer, "it fired", NULL);
    struct host_frame before = host_call_enter(worker, HOST_CALL_LOOP, plugin, "timer callback");
    callback(data);
    host_call_leave(worker, &before);
}

/* What the plugin asked for and, as on a busy machine, up to 50 ms more. */
static double timer_delay(struct host_worker *worker, float timeout)
{
    if (worker->host->knobs.timers != HOST_TIMERS_LATE)
        return (double)timeout;
    return (double)timeout + (double)(rand_r(&worker->random) % LATE_MILLISECONDS) / 1000;
}

static void check_timeout(float timeout, const char *function, const void *site)
{
    if (!(timeout > 0) || isinf(timeout))
        host_rule_broken(HOST_RULE_TM1, site, NULL, "%s with a time of %g seconds", function,
                         (double)timeout);
}

MQ_Timer *host_api_start_timer(MQ_Context *context, float timeout, void (*callback)(void *data), void *data,
                               const void *site)
{
    struct host_worker *worker =
        host_handle_check(context, HOST_KIND_CONTEXT, HOST_RULE_TG1, "MQ_startTimer", site);
    check_timeout(timeout, "MQ_startTimer", site);
    if (!callback)
        host_rule_broken(HOST_RULE_TM1, site, NULL, "MQ_startTimer without a callback");
    MQ_Timer *timer = worker->host->knobs.timers == HOST_TIMERS_FAIL ? NULL : calloc(1, sizeof *timer);
    if (!timer)
        return NULL;
    host_handle_init(&timer->handle, HOST_KIND_TIMER, worker);
    timer->callback = callback;
    timer->data = data;
    timer->plugin = worker->frame.plugin;
    timer->site = site;
    timer->next = worker->timers;
    if (timer->next)
        timer->next->previous = timer;
    worker->timers = timer;
    ev_now_update(worker->loop); /* counted from now, not from when the loop woke up */
    ev_timer_init(&timer->timer, on_timer, timer_delay(worker, timeout), 0);
    timer->timer.data = timer;
    ev_timer_start(worker->loop, &timer->timer);
    return timer;
}

void host_api_stop_timer(MQ_Timer *timer, const void *site)
{
    host_handle_check(timer, HOST_KIND_TIMER, HOST_RULE_TM1, "MQ_stopTimer", site);
    end_timer(timer, "it was stopped", site);
}

void host_api_reset_timer(MQ_Timer *timer, float timeout, const void *site)
{
    struct host_worker *worker =
        host_handle_check(timer, HOST_KIND_TIMER, HOST_RULE_TM1, "MQ_resetTimer", site);
    check_timeout(timeout, "MQ_resetTimer", site);
    ev_timer_stop(worker->loop, &timer->timer);
    ev_now_update(worker->loop);
    ev_timer_set(&timer->timer, timer_delay(worker, timeout), 0);
    ev_timer_start(worker->loop, &timer->timer);
}

/* True while the descriptor is still what it was when the watcher was made. */
static bool same_descriptor(const MQ_IOWatcher *watcher)
{
    struct stat now;
    return fstat(watcher->fd, &now) == 0 && now.st_dev == watcher->device && now.st_ino == watcher->inode;
}

static void check_descriptor(const MQ_IOWatcher *watcher, const char *when, const void *site)
{
    if (!watcher->handle.worker->host->knobs.strict_off && !same_descriptor(watcher))
        host_rule_broken(HOST_RULE_IO1, site, watcher->site, "descriptor %d, noticed %s", watcher->fd, when);
}

/* The loop's flags as the plugin knows them. */
static int flags_shown(const struct host_worker *worker, int events)
{
    bool libev = worker->host->knobs.flag_values_libev;
    return (events & EV_READ ? (libev ? EV_READ : MQ_READ) : 0) |
           (events & EV_WRITE ? (libev ? EV_WRITE : MQ_WRITE) : 0);
}

/* The other way; 0 when there are none, or unknown ones. */
static int flags_asked(const struct host_worker *worker, int events)
{
    bool libev = worker->host->knobs.flag_values_libev;
    int reading = libev ? EV_READ : MQ_READ, writing = libev ? EV_WRITE : MQ_WRITE;
    if (events & ~(reading | writing))
        return 0;
    return (events & reading ? EV_READ : 0) | (events & writing ? EV_WRITE : 0);
}

static void call_watcher(MQ_IOWatcher *watcher, int events)
{
    struct host_worker *worker = watcher->handle.worker;
    struct host_frame before = host_call_enter(worker, HOST_CALL_LOOP, watcher->plugin, "watcher callback");
    watcher->callback(watcher, watcher->fd, flags_shown(worker, events), watcher->data);
    host_call_leave(worker, &before);
}

static void on_watcher(struct ev_loop *loop, ev_io *io, int events)
{
    MQ_IOWatcher *watcher = io->data;
    struct host_worker *worker = watcher->handle.worker;
    if (events & EV_ERROR)
        host_rule_broken(HOST_RULE_IO1, NULL, watcher->site, "descriptor %d", watcher->fd);
    check_descriptor(watcher, "when it woke up", NULL);
    bool again = worker->host->knobs.watchers == HOST_WATCHERS_SPURIOUS && !worker->host->knobs.strict_off &&
                 rand_r(&worker->random) % SPURIOUS_EVERY == 0;
    call_watcher(watcher, events);
    /* the handle of a watcher that is gone lies in the quarantine and can be looked at */
    if (again && !watcher->handle.dead)
        call_watcher(watcher, events);
}

MQ_IOWatcher *host_api_io_watch(MQ_Context *context, int fd, int events,
                                void (*callback)(MQ_IOWatcher *watcher, int fd, int events, void *data),
                                void *data, const void *site)
{
    struct host_worker *worker =
        host_handle_check(context, HOST_KIND_CONTEXT, HOST_RULE_TG1, "MQ_ioWatch", site);
    struct stat status;
    int asked = flags_asked(worker, events);
    if (!asked)
        host_rule_broken(HOST_RULE_IO4, site, NULL, "MQ_ioWatch for events 0x%x", (unsigned int)events);
    if (!callback)
        host_rule_broken(HOST_RULE_IO4, site, NULL, "MQ_ioWatch without a callback");
    if (fstat(fd, &status) < 0)
        host_rule_broken(HOST_RULE_IO4, site, NULL, "MQ_ioWatch for descriptor %d: %s", fd,
                         mqlua_error_text(errno));
    for (MQ_IOWatcher *other = worker->watchers; other; other = other->next) {
        if (other->fd == fd) {
            check_descriptor(other, "when it was watched again", site);
            host_rule_broken(HOST_RULE_IO3, site, other->site, "MQ_ioWatch for descriptor %d", fd);
        }
    }
    MQ_IOWatcher *watcher =
        worker->host->knobs.watchers == HOST_WATCHERS_FAIL ? NULL : calloc(1, sizeof *watcher);
    if (!watcher)
        return NULL;
    host_handle_init(&watcher->handle, HOST_KIND_WATCHER, worker);
    watcher->fd = fd;
    watcher->device = status.st_dev;
    watcher->inode = status.st_ino;
    watcher->callback = callback;
    watcher->data = data;
    watcher->plugin = worker->frame.plugin;
    watcher->site = site;
    watcher->next = worker->watchers;
    if (watcher->next)
        watcher->next->previous = watcher;
    worker->watchers = watcher;
    ev_io_init(&watcher->io, on_watcher, fd, asked);
    watcher->io.data = watcher;
    ev_io_start(worker->loop, &watcher->io);
    worker->watchers_changed = true;
    return watcher;
}

void host_api_io_unwatch(MQ_IOWatcher *watcher, const void *site)
{
    struct host_worker *worker =
        host_handle_check(watcher, HOST_KIND_WATCHER, HOST_RULE_IO2, "MQ_ioUnwatch", site);
    check_descriptor(watcher, "by MQ_ioUnwatch", site);
    ev_io_stop(worker->loop, &watcher->io);
    if (watcher->previous)
        watcher->previous->next = watcher->next;
    else
        worker->watchers = watcher->next;
    if (watcher->next)
        watcher->next->previous = watcher->previous;
    host_quarantine_put(&worker->quarantine, &watcher->handle, "it was unwatched", site);
}

void host_loop_check_watchers(struct host_worker *worker)
{
    for (MQ_IOWatcher *watcher = worker->watchers; watcher; watcher = watcher->next)
        check_descriptor(watcher, "when the host looked", NULL);
}

void host_loop_check_leftovers(struct host_worker *worker)
{
    if (worker->watchers)
        host_rule_broken(HOST_RULE_LO1, NULL, worker->watchers->site,
                         "a watcher of descriptor %d in worker %d", worker->watchers->fd, worker->index);
    if (worker->timers)
        host_rule_broken(HOST_RULE_LO1, NULL, worker->timers->site, "a timer in worker %d", worker->index);
}
