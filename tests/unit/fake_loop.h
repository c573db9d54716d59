/* SPDX-License-Identifier: MIT */
#pragma once

/* A host with nothing but an event loop: descriptors and no timers. Include after the headers of cmocka. */

#include "mq/loop.h"

#include <poll.h>

struct MQ_IOWatcher {
    int fd;
    mqlua_io_fn ready;
    void *data;
    bool used;
};

static struct MQ_IOWatcher fake_watchers[8];

static MQ_IOWatcher *fake_io_watch(MQ_Context *context, int fd, int events, mqlua_io_fn ready, void *data)
{
    for (int i = 0; i < 8; i++) {
        if (!fake_watchers[i].used) {
            fake_watchers[i] = (struct MQ_IOWatcher){fd, ready, data, true};
            return &fake_watchers[i];
        }
    }
    return NULL;
}

static void fake_io_unwatch(MQ_IOWatcher *watcher)
{
    watcher->used = false;
}

static MQ_Timer *fake_start_timer(MQ_Context *context, float seconds, mqlua_timer_fn fire, void *data)
{
    return NULL;
}

static void fake_stop_timer(MQ_Timer *timer) {}

static const mqlua_symbols fake_symbols = {.io_watch = fake_io_watch,
                                           .io_unwatch = fake_io_unwatch,
                                           .start_timer = fake_start_timer,
                                           .stop_timer = fake_stop_timer};

static mqlua_loop *fake_loop(void)
{
    mqlua_loop *loop = mqlua_loop_new(&fake_symbols, (MQ_Context *)fake_watchers, 1, 2);
    assert_non_null(loop);
    return loop;
}

/* One turn: waits until something is ready, at most ten seconds, which fails. */
static void fake_turn(void)
{
    struct pollfd fds[8];
    MQ_IOWatcher *watchers[8];
    nfds_t count = 0;
    for (int i = 0; i < 8; i++) {
        if (fake_watchers[i].used) {
            fds[count] = (struct pollfd){.fd = fake_watchers[i].fd, .events = POLLIN};
            watchers[count++] = &fake_watchers[i];
        }
    }
    assert_true(poll(fds, count, 10000) > 0);
    for (nfds_t i = 0; i < count; i++)
        if (fds[i].revents && watchers[i]->used)
            watchers[i]->ready(watchers[i], fds[i].fd, 1, watchers[i]->data);
}
