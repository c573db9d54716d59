/* SPDX-License-Identifier: MIT */

/* Rejected connections: control is kept until the client leaves, so that nothing that the host sends
 * afterwards can be mistaken for acceptance. Bounded in time and number; then the host gets them back. */

#include "plugin/hold.h"
#include "plugin/adopt.h"
#include "plugin/arguments.h"
#include "plugin/run_internal.h"
#include "plugin/states.h"

enum { HELD_MAX = 1000 };

static void release(mqlua_run *run)
{
    mqlua_hold_remove(run);
    run->stage = MQLUA_RUN_ENDING;
    mqlua_pause_hand_back(&run->worker->pauses, &run->pause, MQLUA_CONTINUE);
    mqlua_worker_soon(run->worker);
}

static void hold_over(mqlua_timer *timer)
{
    release((mqlua_run *)((char *)timer - offsetof(mqlua_run, timer)));
}

void mqlua_hold_remove(mqlua_run *run)
{
    mqlua_worker *worker = run->worker;
    if (run->stage != MQLUA_RUN_HELD)
        return;
    TAILQ_REMOVE(&worker->held, run, held);
    worker->held_count--;
    mqlua_loop_stop(worker->loop, &run->timer);
    run->stage = MQLUA_RUN_ENDING;
}

void mqlua_hold_add(mqlua_run *run)
{
    mqlua_worker *worker = run->worker;
    if (worker->held_count >= HELD_MAX)
        release(TAILQ_FIRST(&worker->held));
    run->stage = MQLUA_RUN_HELD;
    TAILQ_INSERT_TAIL(&worker->held, run, held);
    worker->held_count++;
    if (!mqlua_loop_start(worker->loop, &run->timer, worker->plugin->settings->hold, hold_over))
        release(run);
}

void mqlua_hold_move(mqlua_worker *worker, mqlua_state *old)
{
    mqlua_run *run;
    TAILQ_FOREACH(run, &worker->held, held)
    {
        if (run->state != old || !run->peer || mqlua_connection_has_jobs(&run->peer->connection))
            continue;
        mqlua_arguments_free(run);
        mqlua_adopt_move(worker, run->peer);
        run->state = worker->state;
        run->state->users++;
        mqlua_states_release(worker, old);
    }
}
