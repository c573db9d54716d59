/* SPDX-License-Identifier: MIT */

#include "mq/loop.h"
#include "base/list.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Host timers: zero and negative times are undocumented, and so is what a day or more means. */
static const double SHORTEST = 0.001, LONGEST = 3600;

/* Timers that fire in a row before anything else has its turn. */
enum { FIRE_BATCH = 10000 };

struct mqlua_watch {
    mqlua_loop *loop;
    MQ_IOWatcher *watcher; /* NULL: watches for nothing */
    int fd, events;
    void (*ready)(void *data, int events);
    void *data;
    LIST_ENTRY(mqlua_watch) link; /* loop->watches, or dead_watches */
};

struct mqlua_loop {
    const mqlua_symbols *symbols;
    MQ_Context *context;
    int read_flag, write_flag;

    mqlua_timer **heap; /* heap[1] is due first */
    size_t count, room;
    MQ_Timer *armed; /* the one host timer; NULL when it fired or none is needed */
    double armed_for;
    bool firing;

    LIST_HEAD(, mqlua_watch) watches, dead_watches;
    int eventfd;
    mqlua_watch *wakeup;
    mqlua_mailbox mailbox;

    void (*after)(void *data);
    void *after_data;
};

/* ---- the heap of timers ---- */

static void place(mqlua_loop *loop, mqlua_timer *timer, size_t at)
{
    loop->heap[at] = timer;
    timer->place = at;
}

static void sift_up(mqlua_loop *loop, mqlua_timer *timer, size_t at)
{
    for (; at > 1 && loop->heap[at / 2]->due > timer->due; at /= 2)
        place(loop, loop->heap[at / 2], at);
    place(loop, timer, at);
}

static void sift_down(mqlua_loop *loop, mqlua_timer *timer, size_t at)
{
    for (size_t child; (child = at * 2) <= loop->count; at = child) {
        if (child < loop->count && loop->heap[child + 1]->due < loop->heap[child]->due)
            child++;
        if (loop->heap[child]->due >= timer->due)
            break;
        place(loop, loop->heap[child], at);
    }
    place(loop, timer, at);
}

static bool heap_add(mqlua_loop *loop, mqlua_timer *timer)
{
    if (loop->count + 2 > loop->room) {
        size_t room = loop->room ? loop->room * 2 : 64;
        mqlua_timer **heap = realloc(loop->heap, room * sizeof *heap);
        if (!heap)
            return false;
        loop->heap = heap;
        loop->room = room;
    }
    sift_up(loop, timer, ++loop->count);
    return true;
}

static void heap_remove(mqlua_loop *loop, mqlua_timer *timer)
{
    size_t at = timer->place;
    mqlua_timer *last = loop->heap[loop->count--];
    timer->place = 0;
    if (last == timer)
        return;
    if (at > 1 && loop->heap[at / 2]->due > last->due)
        sift_up(loop, last, at);
    else
        sift_down(loop, last, at);
}

/* ---- the one host timer ---- */

static void host_timer_fired(void *data);

static void disarm(mqlua_loop *loop)
{
    if (loop->armed)
        loop->symbols->stop_timer(loop->armed);
    loop->armed = NULL;
}

/* Makes the host timer fire when the first of ours is due. Moving it later is not worth a call: it then fires
 * early and is armed again. */
static void arm(mqlua_loop *loop)
{
    if (!loop->count || !loop->context || loop->firing)
        return;
    double due = loop->heap[1]->due;
    if (loop->armed && loop->armed_for <= due)
        return;
    disarm(loop);
    double wait = due - mqlua_loop_now();
    wait = wait < SHORTEST ? SHORTEST : wait > LONGEST ? LONGEST : wait;
    loop->armed_for = due;
    loop->armed = loop->symbols->start_timer(loop->context, (float)wait, host_timer_fired, loop);
}

static void end_turn(mqlua_loop *loop)
{
    for (mqlua_watch *watch; (watch = LIST_FIRST(&loop->dead_watches));) {
        LIST_REMOVE(watch, link);
        free(watch);
    }
    arm(loop);
    if (loop->count && loop->context &&
        !loop->armed) /* the host has no timer for us: the next turn tries again */
        mqlua_loop_wake(loop);
    if (loop->after)
        loop->after(loop->after_data);
}

static void host_timer_fired(void *data)
{
    mqlua_loop *loop = data;
    loop->armed = NULL; /* the host frees it: it must not be touched any more */
    mqlua_loop_fire(loop, mqlua_loop_now());
    end_turn(loop);
}

void mqlua_loop_fire(mqlua_loop *loop, double now)
{
    if (!loop->count || loop->heap[1]->due > now)
        return;
    loop->firing = true;
    for (int i = 0; i < FIRE_BATCH && loop->count && loop->heap[1]->due <= now; i++) {
        mqlua_timer *timer = loop->heap[1];
        heap_remove(loop, timer);
        timer->fire(timer);
    }
    loop->firing = false;
    arm(loop);
}

void mqlua_loop_wake(mqlua_loop *loop)
{
    static const uint64_t one = 1;
    while (write(loop->eventfd, &one, sizeof one) < 0 && errno == EINTR) {
        /* again; EAGAIN means that a wake-up is due anyway */
    }
}

bool mqlua_loop_start(mqlua_loop *loop, mqlua_timer *timer, double seconds, void (*fire)(mqlua_timer *))
{
    if (timer->place)
        heap_remove(loop, timer);
    timer->fire = fire;
    timer->due = mqlua_loop_now() + (seconds > SHORTEST ? seconds : SHORTEST);
    if (!heap_add(loop, timer))
        return false;
    arm(loop);
    if (loop->armed || loop->firing || !loop->context)
        return true;
    /* The host has no timer for us. The next turn tries again; only when there is nothing else does it fail.
     */
    if (loop->count > 1) {
        mqlua_loop_wake(loop);
        return true;
    }
    heap_remove(loop, timer);
    return false;
}

void mqlua_loop_stop(mqlua_loop *loop, mqlua_timer *timer)
{
    if (timer->place)
        heap_remove(loop, timer);
    if (!loop->count)
        disarm(loop);
}

/* ---- descriptors ---- */

static void host_fd_ready(MQ_IOWatcher *watcher, int fd, int events, void *data)
{
    mqlua_watch *watch = data;
    mqlua_loop *loop = watch->loop;
    int ours = (events & loop->read_flag ? MQLUA_READ : 0) | (events & loop->write_flag ? MQLUA_WRITE : 0);
    if (watch->watcher)
        watch->ready(watch->data, ours ? ours : MQLUA_READ | MQLUA_WRITE);
    end_turn(loop);
}

static bool watch_for(mqlua_watch *watch, int events)
{
    mqlua_loop *loop = watch->loop;
    int flags = (events & MQLUA_READ ? loop->read_flag : 0) | (events & MQLUA_WRITE ? loop->write_flag : 0);
    watch->watcher =
        events ? loop->symbols->io_watch(loop->context, watch->fd, flags, host_fd_ready, watch) : NULL;
    watch->events = watch->watcher ? events : 0;
    return watch->watcher || !events;
}

static void watch_for_nothing(mqlua_watch *watch)
{
    if (watch->watcher)
        watch->loop->symbols->io_unwatch(watch->watcher);
    watch->watcher = NULL;
    watch->events = 0;
}

mqlua_watch *mqlua_loop_watch(mqlua_loop *loop, int fd, int events, void (*ready)(void *data, int events),
                              void *data)
{
    mqlua_watch *watch = loop->context ? calloc(1, sizeof *watch) : NULL;
    if (!watch)
        return NULL;
    *watch = (mqlua_watch){.loop = loop, .fd = fd, .ready = ready, .data = data};
    if (!watch_for(watch, events)) {
        free(watch);
        return NULL;
    }
    LIST_INSERT_HEAD(&loop->watches, watch, link);
    return watch;
}

/* The documented functions cannot change a watcher: it is given back, and another one takes its place. */
bool mqlua_loop_watch_change(mqlua_watch *watch, int events)
{
    if (watch->events == events)
        return true;
    watch_for_nothing(watch);
    return watch_for(watch, events);
}

void mqlua_loop_unwatch(mqlua_watch *watch)
{
    mqlua_loop *loop = watch->loop;
    watch_for_nothing(watch);
    LIST_REMOVE(watch, link);
    /* Its own callback may be running: freed at the end of the turn. */
    LIST_INSERT_HEAD(&loop->dead_watches, watch, link);
}

/* ---- messages from other threads ---- */

static void wakeup_ready(void *data, int events)
{
    mqlua_loop *loop = data;
    uint64_t count;
    while (read(loop->eventfd, &count, sizeof count) > 0) {
        /* drained until it would block: spurious wake-ups are harmless */
    }
    mqlua_mailbox_run(&loop->mailbox);
}

static void wake(void *ud)
{
    mqlua_loop_wake(ud);
}

mqlua_mailbox *mqlua_loop_mailbox(mqlua_loop *loop)
{
    return &loop->mailbox;
}

/* ---- life ---- */

mqlua_loop *mqlua_loop_new(const mqlua_symbols *symbols, MQ_Context *context, int read_flag, int write_flag)
{
    mqlua_loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return NULL;
    loop->symbols = symbols;
    loop->context = context;
    loop->read_flag = read_flag;
    loop->write_flag = write_flag;
    mqlua_mailbox_init(&loop->mailbox, wake, loop);
    loop->eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->eventfd >= 0 && context)
        loop->wakeup = mqlua_loop_watch(loop, loop->eventfd, MQLUA_READ, wakeup_ready, loop);
    if (loop->eventfd < 0 || (context && !loop->wakeup)) {
        mqlua_loop_free(loop);
        return NULL;
    }
    return loop;
}

void mqlua_loop_set_after(mqlua_loop *loop, void (*after)(void *data), void *data)
{
    loop->after = after;
    loop->after_data = data;
}

void mqlua_loop_free(mqlua_loop *loop)
{
    if (!loop)
        return;
    loop->after = NULL;
    mqlua_mailbox_run(&loop->mailbox);
    while (!LIST_EMPTY(&loop->watches))
        mqlua_loop_unwatch(LIST_FIRST(&loop->watches));
    end_turn(loop);
    loop->context = NULL;
    disarm(loop);
    if (loop->eventfd >= 0)
        close(loop->eventfd);
    mqlua_mailbox_destroy(&loop->mailbox);
    free(loop->heap);
    free(loop);
}
