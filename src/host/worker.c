/* SPDX-License-Identifier: MIT */
#include "host/worker.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/call.h"
#include "host/handle.h"
#include "host/host.h"
#include "host/listener.h"
#include "host/loop.h"
#include "host/outgoing.h"
#include "host/session.h"
#include "host/stream.h"

static const double tick_seconds = 0.25;
static const double asked_again_after = 0.010;

static _Thread_local struct host_worker *current_worker;

struct host_worker *host_worker_current(void)
{
    return current_worker;
}

bool host_worker_post(struct host_worker *worker, host_work work, void *data)
{
    struct host_post *post = malloc(sizeof *post);
    if (!post)
        return false;
    *post = (struct host_post){.work = work, .data = data};
    pthread_mutex_lock(&worker->lock);
    *(worker->posts ? &worker->last_post->next : &worker->posts) = post;
    worker->last_post = post;
    pthread_mutex_unlock(&worker->lock);
    ev_async_send(worker->loop, &worker->wake);
    return true;
}

static void run_posts(struct host_worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    struct host_post *posts = worker->posts;
    worker->posts = NULL;
    pthread_mutex_unlock(&worker->lock);
    while (posts) {
        struct host_post *post = posts;
        posts = post->next;
        post->work(worker, post->data);
        free(post);
    }
}

static void on_wake(struct ev_loop *loop, ev_async *async, int events)
{
    run_posts(async->data);
}

/* All replies of one turn of the loop go out together. A new watcher's descriptor must still be open: libev
 * would end the process over it without saying whose it is. */
static void on_flush(struct ev_loop *loop, ev_prepare *prepare, int events)
{
    struct host_worker *worker = prepare->data;
    host_stream_flush_all(worker);
    if (worker->watchers_changed) {
        worker->watchers_changed = false;
        host_loop_check_watchers(worker);
    }
}

/* The blocking detector needs to know how long this thread was kept waiting for a CPU. Asking is a system
 * call, so it is not done at every turn of a busy loop: the answer may be a little old, which errs in favour
 * of the plugin. */
static void on_woken(struct ev_loop *loop, ev_check *check, int events)
{
    struct host_worker *worker = check->data;
    ev_tstamp now = ev_now(loop);
    if (now - worker->queued_asked < asked_again_after && now >= worker->queued_asked)
        return;
    worker->queued_asked = now;
    worker->queued_before = host_call_queued(worker);
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    host_loop_check_watchers(timer->data);
}

/* What is still paused is given up when the loop is over: timers that are due in the same turn may hand back.
 */
static void on_grace(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct host_worker *worker = timer->data;
    worker->cut = true;
    ev_break(worker->loop, EVBREAK_ALL);
}

void host_worker_leave(struct host_worker *worker)
{
    worker->connections--;
    if (worker->stopping && worker->connections == 0)
        ev_break(worker->loop, EVBREAK_ALL);
}

static void stop_worker(struct host_worker *worker, void *data)
{
    worker->stopping = true;
    host_listener_stop(worker);
    ev_timer_set(&worker->grace, worker->host->options->grace, 0);
    ev_timer_start(worker->loop, &worker->grace);
    host_outgoing_leave(worker);
    host_session_leave_all(worker);
    if (worker->connections == 0)
        ev_break(worker->loop, EVBREAK_ALL);
}

static void initialize_context(struct host_worker *worker)
{
    struct host *host = worker->host;
    worker->owner = pthread_self();
    for (int i = 0; i < host->plugin_count; i++) {
        if (!host->plugins[i].context_initialize)
            continue;
        struct host_frame before = host_call_enter(worker, HOST_CALL_CONTEXT, i, "mq_context_initialize");
        host->plugins[i].context_initialize(&worker->context);
        host_call_leave(worker, &before);
    }
}

static void cleanup_context(struct host_worker *worker)
{
    struct host *host = worker->host;
    worker->owner = pthread_self();
    for (int i = 0; i < host->plugin_count; i++) {
        if (!host->plugins[i].context_cleanup)
            continue;
        struct host_frame before = host_call_enter(worker, HOST_CALL_CONTEXT, i, "mq_context_cleanup");
        host->plugins[i].context_cleanup(&worker->context);
        host_call_leave(worker, &before);
        if (worker->context.plugin_data[i])
            host_rule_warn("LK2", "%s left context data behind", host->plugins[i].path);
    }
    host_loop_check_leftovers(worker);
    worker->context.handle.dead = true;
    worker->context.handle.death = "mq_context_cleanup is over";
}

static void start_watching(struct host_worker *worker)
{
    struct host *host = worker->host;
    if (!host->knobs.blocking_off) {
        worker->schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
        ev_check_start(worker->loop, &worker->woken);
    }
    ev_async_start(worker->loop, &worker->wake);
    ev_prepare_start(worker->loop, &worker->flush);
    if (!host->knobs.strict_off)
        ev_timer_start(worker->loop, &worker->tick);
    if (!host_listener_start(worker)) {
        fprintf(stderr, "worker %d cannot listen: %s\n", worker->index, mqlua_error_text(errno));
        atomic_store(&host->failed, true);
    }
}

/* Barriers keep the threads in step: contexts initialised, listening, drained, cleanup may begin. */
static void *run_worker(void *data)
{
    struct host_worker *worker = data;
    struct host *host = worker->host;
    current_worker = worker;
    if (!host->knobs.ctx_init_main)
        initialize_context(worker);
    worker->owner = pthread_self();
    pthread_barrier_wait(&host->barrier);
    start_watching(worker);
    pthread_barrier_wait(&host->barrier);
    ev_run(worker->loop, 0);
    if (worker->cut) {
        host_outgoing_cut(worker);
        host_session_cut_all(worker);
    }
    host_stream_flush_all(worker);
    pthread_barrier_wait(&host->barrier);
    pthread_barrier_wait(&host->barrier);
    if (!host->knobs.ctx_init_main)
        cleanup_context(worker);
    return NULL;
}

static bool make_worker(struct host *host, struct host_worker *worker, int index)
{
    worker->host = host;
    worker->index = index;
    worker->schedstat = -1;
    worker->random = (unsigned int)index * 2654435761u + 1;
    worker->quarantine.off = host->knobs.strict_off;
    worker->guard.off = host->knobs.strict_off;
    host_handle_init(&worker->context.handle, HOST_KIND_CONTEXT, worker);
    worker->context.plugin_data = calloc((size_t)host->plugin_count + 1, sizeof(void *));
    worker->loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
    if (!worker->context.plugin_data || !worker->loop)
        return false;
    pthread_mutex_init(&worker->lock, NULL);
    ev_async_init(&worker->wake, on_wake);
    worker->wake.data = worker;
    ev_prepare_init(&worker->flush, on_flush);
    worker->flush.data = worker;
    ev_check_init(&worker->woken, on_woken);
    ev_set_priority(&worker->woken, EV_MAXPRI);
    worker->woken.data = worker;
    ev_timer_init(&worker->tick, on_tick, tick_seconds, tick_seconds);
    worker->tick.data = worker;
    ev_timer_init(&worker->grace, on_grace, 0, 0);
    worker->grace.data = worker;
    return true;
}

bool host_worker_make_all(struct host *host, int count)
{
    host->workers = calloc((size_t)count, sizeof *host->workers);
    if (!host->workers)
        return false;
    host->worker_count = count;
    for (int i = 0; i < count; i++)
        if (!make_worker(host, &host->workers[i], i))
            return false;
    host->workers[count - 1].idle = true;
    return true;
}

bool host_worker_start_all(struct host *host)
{
    if (pthread_barrier_init(&host->barrier, NULL, (unsigned int)host->worker_count + 1) != 0)
        return false;
    for (int i = 0; host->knobs.ctx_init_main && i < host->worker_count; i++)
        initialize_context(&host->workers[i]);
    for (int i = 0; i < host->worker_count; i++)
        if (pthread_create(&host->workers[i].thread, NULL, run_worker, &host->workers[i]) != 0)
            return false;
    pthread_barrier_wait(&host->barrier);
    pthread_barrier_wait(&host->barrier);
    return !atomic_load(&host->failed);
}

void host_worker_stop_all(struct host *host, void (*cleanup)(struct host *host))
{
    for (int i = 0; i < host->worker_count; i++)
        host_worker_post(&host->workers[i], stop_worker, NULL);
    pthread_barrier_wait(&host->barrier);
    if (host->knobs.shutdown_cleanup_first)
        cleanup(host);
    pthread_barrier_wait(&host->barrier);
    for (int i = 0; i < host->worker_count; i++)
        pthread_join(host->workers[i].thread, NULL);
    for (int i = 0; host->knobs.ctx_init_main && i < host->worker_count; i++)
        cleanup_context(&host->workers[i]);
    if (!host->knobs.shutdown_cleanup_first)
        cleanup(host);
    pthread_barrier_destroy(&host->barrier);
}

void host_worker_free_all(struct host *host)
{
    for (int i = 0; i < host->worker_count; i++) {
        struct host_worker *worker = &host->workers[i];
        if (!worker->loop)
            continue;
        run_posts(worker);
        host_listener_stop(worker);
        host_stream_close_all(worker);
        host_quarantine_free(&worker->quarantine);
        host_guard_free(&worker->guard);
        if (worker->schedstat >= 0)
            close(worker->schedstat);
        ev_loop_destroy(worker->loop);
        free(worker->context.plugin_data);
        pthread_mutex_destroy(&worker->lock);
    }
    free(host->workers);
    host->workers = NULL;
    host->worker_count = 0;
}
