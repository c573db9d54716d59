/* SPDX-License-Identifier: MIT */
#pragma once

/* One worker for each context of the host. Its thread alone touches it. */

#include "api/connection.h"
#include "api/message.h"
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

/* The worker of a context, inside one of the host's callbacks. NULL: none. */
mqlua_worker *mqlua_worker_of(const mqlua_plugin *plugin, MQ_Context *context);

/* Works out worker->wanted after handlers, peers or condemned changed. */
void mqlua_worker_update_wanted(mqlua_worker *worker);

/* Runs what became ready (tasks, hand-backs) from the loop, soon. Safe from inside events and Lua. */
void mqlua_worker_soon(mqlua_worker *worker);
