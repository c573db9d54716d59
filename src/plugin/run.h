/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A run: one event going through the handlers of its generation, one task for each. It ends inside the host's
 * callback when no handler waits; otherwise the callback returns true and the run's pause token stands for
 * the hand-back that is owed.
 */

#include "plugin/worker.h"

typedef enum mqlua_run_stage {
    MQLUA_RUN_FREE,
    MQLUA_RUN_HANDLERS, /* a handler is running or parked, or the next one is due */
    MQLUA_RUN_ON_ERROR, /* the on_error function of the handler that failed */
    MQLUA_RUN_HELD,     /* control is kept on purpose: mq.reject, mq.hold */
    MQLUA_RUN_ENDING,   /* the hand-back is queued */
} mqlua_run_stage;

/* What the host passed to an event. */
typedef struct mqlua_arguments {
    MQ_Address *address;
    MQ_Message *message;
    const char *login, *password, *bytes;
    size_t login_size, password_size, bytes_size;
} mqlua_arguments;

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
    uint8_t counted; /* outgoing; see mqlua_trial_counted */
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

/* One call of an exported function on an incoming connection or an outgoing one (peer NULL). The result is
 * what to return to the host. */
bool mqlua_run_event(mqlua_worker *worker, mqlua_event event, MQ_Connection *host, mqlua_peer *peer,
                     const mqlua_arguments *arguments);

/* Whether that event of the connection was asked for with mq.rerun and is still to come. */
bool mqlua_run_is_again(const mqlua_worker *worker, mqlua_event event, MQ_Connection *host);

/* The connection closed: what its next event should know is of no use any more. */
void mqlua_run_forget(mqlua_worker *worker, MQ_Connection *host);

/* run_life.c: from here on the worker's end abandons it: the event goes on after the callback. */
void mqlua_run_list(mqlua_run *run);

/* Gives back what the run has, nothing to the host; its task has ended. A run of smtp_in_close takes its peer
 * along. */
void mqlua_run_free(mqlua_run *run);

/* The connection is gone, or the worker ends: no hand-back, tasks cancelled, everything freed. */
void mqlua_run_abandon(mqlua_run *run);

/* The memory of runs, when the worker ends. */
void mqlua_runs_free(mqlua_worker *worker);

/* trial.c: a handler of the run ended: its transaction counts, and, when it failed, as one that failed. Each
 * once.
 */
enum { MQLUA_COUNTED = 1, MQLUA_COUNTED_FAILED = 2 };
void mqlua_trial_count(mqlua_run *run, bool failed);

/* Where it is noted what the transaction of the run was counted as. */
static inline uint8_t *mqlua_trial_counted(mqlua_run *run)
{
    return run->peer ? &run->peer->counted : &run->counted;
}

/* carry.c: does what the verdict says. What remains is a hand-back or a hold. */
typedef enum mqlua_carried {
    MQLUA_CARRIED_CONTINUE,
    MQLUA_CARRIED_COMPLETE,
    MQLUA_CARRIED_RETRY,
    MQLUA_CARRIED_HOLD
} mqlua_carried;
mqlua_carried mqlua_carry(mqlua_run *run);

/* carry.c: a condemned connection at a later event. */
mqlua_carried mqlua_carry_condemned(mqlua_run *run);

/* carry.c: the message was refused in this transaction by a final reply of ours. */
bool mqlua_carry_refused(mqlua_run *run);

/* dispose.c: write into the message's JSON what the verdict means, all of it or (reported) nothing. */
void mqlua_dispose_discard(mqlua_run *run, const char *reason);
void mqlua_dispose_quarantine(mqlua_run *run, const char *recipient, const char *reason);

/* hold.c: keeps control of a rejected connection for the hold time. */
void mqlua_hold_add(mqlua_run *run);
void mqlua_hold_remove(mqlua_run *run);

/* Events whose handlers get more than objects that stay: it is made for each of them; and of these, those
 * after which something is left of it. */
enum {
    MQLUA_ARGUMENTS_KEPT =
        MQLUA_BIT(MQLUA_IN_AUTHENTICATE) | MQLUA_BIT(MQLUA_IN_RCPTTO) | MQLUA_BIT(MQLUA_IN_DATA),
    MQLUA_ARGUMENTS_MADE = MQLUA_ARGUMENTS_KEPT | MQLUA_BIT(MQLUA_IN_MAILFROM),
};

/* arguments.c: pushes what a handler gets; lua_CFunction that runs inside the task. */
int mqlua_arguments_push(lua_State *L);
/* The same when each of them was pushed before: registry references to them, and how many. 0: no. */
static inline int mqlua_arguments_ready(const mqlua_run *run, int arguments[2])
{
    arguments[0] = run->peer ? run->peer->connection.object : run->own.object;
    if (run->stage == MQLUA_RUN_ON_ERROR || arguments[0] == LUA_NOREF)
        return 0;
    if (run->has_message)
        return (arguments[1] = run->message.object) == LUA_NOREF ? 0 : 2;
    return !(MQLUA_BIT(run->event) & MQLUA_ARGUMENTS_MADE);
}
/* Before the callback returns true: copies what ends with it. False: no memory. */
bool mqlua_arguments_keep(mqlua_run *run);
/* After an event of MQLUA_ARGUMENTS_KEPT. */
void mqlua_arguments_free(mqlua_run *run);
