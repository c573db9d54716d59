/* SPDX-License-Identifier: MIT */
#pragma once

/* One worker for each context of the host. Its thread alone touches it. */

#include "api/connection.h"
#include "api/message.h"
#include "api/move.h"
#include "api/state.h"
#include "mq/loop.h"
#include "mq/pause.h"
#include "plugin/peers.h"
#include "plugin/plugin.h"

/* Events that asked for mq.rerun and were not called again yet: a second rerun is refused. */
enum { MQLUA_RERUNS = 64 };
typedef struct mqlua_rerun {
    MQ_Connection *connection;
    mqlua_event event;
} mqlua_rerun;

struct mqlua_worker {
    mqlua_plugin *plugin;
    MQ_Context *context;
    int number; /* from 1 */
    mqlua_loop *loop;
    mqlua_pauses pauses;
    mqlua_lanes lanes;                      /* tasks whose turn it is to go on */
    mqlua_log_limit rest_limit;             /* lines about lanes that rest */
    mqlua_timer rest;                       /* a lane may go on */
    mqlua_timer soon;                       /* hand-backs and resumed tasks that an event cannot do itself */
    mqlua_timer linger;                     /* the end of what old states do on their own */
    mqlua_state *state;                     /* the current generation; NULL: no policy */
    LIST_HEAD(, mqlua_state) old;           /* earlier ones that still have users, newest first */
    _Atomic(mqlua_state *) prepared;        /* the next one, made by the thread that reloads */
    mqlua_tally tallies[MQLUA_GENERATIONS]; /* by number modulo */
    uint64_t generation;                    /* of the plugin, as last seen */
    bool crowded, starved; /* the state's memory is short, or it was too short: plugin/rebuild.h */
    double rebuild_after;  /* monotonic seconds */
    mqlua_log_limit rebuild_limit;
    unsigned wanted; /* bits of the events to look at */
    mqlua_peers peers;
    SLIST_HEAD(, mqlua_peer)
    spare_peers;                 /* memory is kept until the worker ends: dead objects look at their slots */
    uint64_t connections;        /* made so far: their ids */
    uint64_t numbers;            /* of tables that moved with connections: vm/copy.h */
    size_t condemned;            /* connections that were rejected */
    LIST_HEAD(, mqlua_run) runs; /* that go on after the callback */
    SLIST_HEAD(, mqlua_run) spare_runs;
    TAILQ_HEAD(, mqlua_run) held; /* by a reject, oldest first */
    size_t held_count;
    mqlua_rerun reruns[MQLUA_RERUNS];
    size_t rerun_count;
    LIST_ENTRY(mqlua_worker) link; /* plugin->workers */
};

/* mq_context_initialize and mq_context_cleanup. NULL when the worker cannot be made (logged): its events are
 * let pass. */
mqlua_worker *mqlua_worker_new(mqlua_plugin *plugin, MQ_Context *context);
/* True when nobody needs the plugin any more: the caller frees it. worker may be NULL. */
bool mqlua_worker_free(mqlua_worker *worker);

/* The worker of a context, inside one of the host's callbacks. NULL: none. */
mqlua_worker *mqlua_worker_of(const mqlua_plugin *plugin, MQ_Context *context);

/* Works out worker->wanted after handlers, peers or condemned changed. */
void mqlua_worker_update_wanted(mqlua_worker *worker);

/* Runs what became ready (tasks, hand-backs) from the loop, soon. Safe from inside events and Lua. */
void mqlua_worker_soon(mqlua_worker *worker);

/* Where a worker's next state comes from, while the worker may be gone already: nothing of it is touched. */
typedef struct mqlua_place {
    mqlua_worker *worker;
    mqlua_loop *loop;
    int number;
} mqlua_place;

/* A state that is ready to serve: loaded, context_initialize called. Any thread; no function of the host but
 * MQ_log is called. parcel (NULL: none) is what the state before hands on; stop: see mqlua_env. NULL with
 * *error. */
mqlua_state *mqlua_worker_make_state(mqlua_plugin *plugin, const mqlua_place *place, mqlua_bundle *bundle,
                                     uint64_t generation, const mqlua_parcel *parcel, const atomic_bool *stop,
                                     char **error);

/* Calls context_cleanup and frees it. Any thread, when the state was stopped or never served. */
void mqlua_worker_free_state(mqlua_state *state);

/* Makes state the current one; the worker has none. */
void mqlua_worker_serve(mqlua_worker *worker, mqlua_state *state);

/* A user of a state is gone; an old generation ends soon after its last one: not at once, its own vm may be
 * what called. */
static inline void mqlua_worker_release_state(mqlua_worker *worker, mqlua_state *state)
{
    if (--state->users == 0 && state != worker->state)
        mqlua_worker_soon(worker);
}

/* The peer of an incoming connection; made when there is none (NULL: no memory). */
mqlua_peer *mqlua_peer_new(mqlua_worker *worker, MQ_Connection *host);

static inline mqlua_peer *mqlua_peer_get(mqlua_worker *worker, MQ_Connection *host)
{
    mqlua_peer *peer = mqlua_peers_find(&worker->peers, host);
    return peer ? peer : mqlua_peer_new(worker, host);
}

/* The host's pointer may mean another connection from now on. */
void mqlua_peer_unmap(mqlua_worker *worker, mqlua_peer *peer);
/* The close of a connection: what was going on is abandoned, its handlers are called, and it ends. */
void mqlua_peer_close(mqlua_worker *worker, mqlua_peer *peer);
/* Ends the connection and gives the memory back to the worker. */
void mqlua_peer_free(mqlua_worker *worker, mqlua_peer *peer);
