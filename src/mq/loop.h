/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The event loop of one worker, on top of MQ_ioWatch and MQ_startTimer: any number of timers on one
 * host timer, file descriptors, and messages from other threads through an eventfd.
 *
 * Everything here belongs to the worker's thread, except posting to its mailbox and mqlua_loop_wake.
 */

#include "base/mailbox.h"
#include "base/time.h"
#include "mq/symbols.h"
#include <stdint.h>

typedef struct mqlua_loop mqlua_loop;

/* A timer, embedded in whatever it belongs to. Zeroed memory is a stopped timer. */
typedef struct mqlua_timer {
    double due;   /* monotonic seconds */
    size_t place; /* in the heap, from 1; 0: not running */
    void (*fire)(struct mqlua_timer *timer);
} mqlua_timer;

typedef struct mqlua_watch mqlua_watch;
enum { MQLUA_READ = 1, MQLUA_WRITE = 2 };

/* NULL when memory or an eventfd cannot be had. read_flag and write_flag are the host's values. context may
 * be NULL: then nothing ever fires (states that only check). */
mqlua_loop *mqlua_loop_new(const mqlua_symbols *symbols, MQ_Context *context, int read_flag, int write_flag);

/* Stops and unwatches everything; no callback runs after it. Posts that arrived are run once more before (so
 * that they can free themselves). */
void mqlua_loop_free(mqlua_loop *loop);

/* after(data) runs as the very last thing of every turn of the loop in which something fired. */
void mqlua_loop_set_after(mqlua_loop *loop, void (*after)(void *data), void *data);

/* Starts or moves a timer. seconds below 0.001 count as 0.001. False (and the timer is not running) when
 * memory cannot be had. Not for use in the middle of mqlua_loop_free. */
bool mqlua_loop_start(mqlua_loop *loop, mqlua_timer *timer, double seconds, void (*fire)(mqlua_timer *));
void mqlua_loop_stop(mqlua_loop *loop, mqlua_timer *timer);

/* Fires timers that are due, for whoever works for longer than a moment in after. What a timer calls is
 * quick: it starts no Lua, but queues what does. */
void mqlua_loop_fire(mqlua_loop *loop, double now);

/* Watches a non-blocking descriptor; one watch per descriptor. NULL when it cannot be had. The descriptor
 * stays the caller's: unwatch, then close. */
mqlua_watch *mqlua_loop_watch(mqlua_loop *loop, int fd, int events, void (*ready)(void *data, int events),
                              void *data);
void mqlua_loop_unwatch(mqlua_watch *watch);

/* Watches for other events from now on; 0: for none. Also from inside the watch's own callback. False when
 * the host does not give what is needed: it watches for nothing then, and another change may try again. */
bool mqlua_loop_watch_change(mqlua_watch *watch, int events);

/* Messages from other threads, which run on the worker's thread. The loop must outlive each post to it. */
mqlua_mailbox *mqlua_loop_mailbox(mqlua_loop *loop);

/* A turn of the loop comes soon, also where the host gives no timers. From any thread. */
void mqlua_loop_wake(mqlua_loop *loop);

/* Monotonic clock, seconds. */
static inline double mqlua_loop_now(void)
{
    return mqlua_time_now();
}
