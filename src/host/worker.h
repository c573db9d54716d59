/* SPDX-License-Identifier: MIT */
#pragma once

/* One worker: a thread, its loop, its MQ_Context, and what is registered there. */

#include <ev.h>
#include <pthread.h>
#include <stdbool.h>

#include "host/types.h"
#include "host/guard.h"
#include "host/quarantine.h"

struct host_stream;

/* Which code of a plugin is running, innermost call. */
enum host_call { HOST_CALL_NONE, HOST_CALL_EVENT, HOST_CALL_LOOP, HOST_CALL_CONTEXT };

struct host_frame {
    enum host_call call;
    int plugin;
    const char *name; /* static: the function or kind of callback */
    double begin;     /* seconds, monotonic */
    double excluded;  /* seconds that the host itself took inside this call */
};

/* Work handed over by another thread. */
typedef void (*host_work)(struct host_worker *worker, void *data);
struct host_post {
    host_work work;
    void *data;
    struct host_post *next;
};

struct host_worker {
    struct host *host;
    int index;
    bool idle; /* the extra context that never sees a connection */
    pthread_t thread;
    pthread_t owner; /* who may call MQ_* for this context now; differs only with ctx-init=main */
    struct ev_loop *loop;
    MQ_Context context;
    struct host_frame frame;

    bool stopping;
    bool cut;        /* the grace is over: what is left is given up behind the loop */
    int connections; /* incoming and outgoing connections that are not over: the loop runs until none is left
                      */

    ev_async wake;
    ev_prepare flush;
    ev_check woken;
    ev_timer grace;
    ev_timer tick;
    pthread_mutex_t lock;                /* posts */
    struct host_post *posts, *last_post; /* the latter good while there are any */

    struct host_stream *streams; /* all of them, lingering ones too */
    struct host_stream *dirty;   /* those with output to flush */
    struct host_session *sessions;
    struct host_listener *listeners;
    MQ_IOWatcher *watchers;
    bool watchers_changed; /* there is a new one since the loop last waited */
    MQ_Timer *timers;
    struct host_quarantine quarantine;
    struct host_guard guard;
    int schedstat;             /* /proc/thread-self/schedstat, or -1 */
    double queued_before;      /* seconds this thread had waited for a CPU when the loop woke up */
    ev_tstamp queued_asked;    /* when that was asked */
    unsigned int handbacks;    /* for continue=alternate */
    unsigned int null_senders; /* for alternating NULL and "" */
    unsigned int random;
};

/* Makes the workers of a host, the last one without connections. False without memory. Main thread. */
bool host_worker_make_all(struct host *host, int count);

/* Starts the threads and waits until every context is initialised and listens. False when a thread could not
 * be started (the others are ended then). */
bool host_worker_start_all(struct host *host);

/* Ends all: no new connections, paused events get their grace, contexts are cleaned up. With
 * shutdown=cleanup-first cleanup(host) is called before the contexts are. */
void host_worker_stop_all(struct host *host, void (*cleanup)(struct host *host));

/* Releases everything, after mq_cleanup. */
void host_worker_free_all(struct host *host);

/* A connection is over; the last one ends a stopping worker. */
void host_worker_leave(struct host_worker *worker);

/* Calls work(worker, data) on the worker's thread, soon. Any thread. False without memory. */
bool host_worker_post(struct host_worker *worker, host_work work, void *data);

/* The worker on whose thread this is; NULL elsewhere. */
struct host_worker *host_worker_current(void);
