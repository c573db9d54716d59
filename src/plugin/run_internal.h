/* SPDX-License-Identifier: MIT */
#pragma once

/* The inside of a run, shared by the files that it is made of. */

#include "plugin/run.h"

typedef enum mqlua_run_stage {
    MQLUA_RUN_FREE,
    MQLUA_RUN_HANDLERS, /* a handler is running or parked, or the next one is due */
    MQLUA_RUN_ON_ERROR, /* the on_error function of the handler that failed */
    MQLUA_RUN_HELD,     /* control is kept on purpose: mq.reject, mq.hold */
    MQLUA_RUN_ENDING,   /* the hand-back is queued */
} mqlua_run_stage;

struct mqlua_run {
    mqlua_pause pause; /* first: the owner of a token is a run */
    mqlua_run_stage stage;
    mqlua_worker *worker;
    mqlua_state *state;
    mqlua_event event;
    MQ_Connection *host;
    mqlua_peer *peer;     /* incoming; NULL: outgoing */
    mqlua_connection own; /* outgoing: lives as long as the run */
    mqlua_lane own_lane;  /* its tasks' */
    mqlua_message message;
    mqlua_local local;     /* rcptto */
    mqlua_slot chunk_slot; /* the host's buffer of smtp_in_data ends with the callback */
    int chunk;             /* registry reference to the buffer object, or LUA_NOREF */

    mqlua_arguments given;            /* good inside the callback, copies afterwards */
    const char *email;                /* of given.address */
    char *login_copy, *password_copy; /* malloc'ed */

    int next_handler;
    int on_error; /* registry reference to the function that runs next, or LUA_NOREF */
    const mqlua_handler *handler;
    mqlua_task *task; /* that waits; NULL while one starts */
    bool entered;     /* inside the host's callback */
    bool observes;    /* close, sent: control is never kept */
    bool again;       /* called a second time after mq.rerun */
    bool has_message;
    bool late;       /* the deadline passed while it waited for somebody else */
    uint8_t counted; /* outgoing; see mqlua_tally_count */
    double spent; /* seconds that its handlers took inside the host's callback, as far as they are counted */
    mqlua_piece piece; /* its next handler is due */
    double begun;      /* monotonic seconds; 0: not looked at the clock yet */
    mqlua_timer timer; /* deadline, or the end of a hold */

    /* the verdict */
    bool decided;
    mqlua_verdict_kind kind;
    char *text, *reason; /* malloc'ed */
    char *error;         /* of the handler that failed, for its on_error function; malloc'ed */

    bool listed;
    LIST_ENTRY(mqlua_run) link;   /* worker->runs, when listed */
    SLIST_ENTRY(mqlua_run) spare; /* worker->spare_runs */
    TAILQ_ENTRY(mqlua_run) held;  /* worker->held */
};
