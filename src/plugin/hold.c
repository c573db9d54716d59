/* SPDX-License-Identifier: MIT */

/* Rejected connections: control is kept until the client leaves, so that nothing that the host sends
 * afterwards can be mistaken for acceptance. Bounded in time and number; then the host gets them back. */

#include "plugin/run.h"

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
    if (run->held_prev)
        run->held_prev->held_next = run->held_next;
    else
        worker->held = run->held_next;
    if (run->held_next)
        run->held_next->held_prev = run->held_prev;
    else
        worker->held_last = run->held_prev;
    run->held_next = run->held_prev = NULL;
    worker->held_count--;
    mqlua_loop_stop(worker->loop, &run->timer);
    run->stage = MQLUA_RUN_ENDING;
}

void mqlua_hold_add(mqlua_run *run)
{
    mqlua_worker *worker = run->worker;
    if (worker->held_count >= HELD_MAX)
        release(worker->held);
    run->stage = MQLUA_RUN_HELD;
    run->held_next = NULL;
    run->held_prev = worker->held_last;
    if (worker->held_last)
        worker->held_last->held_next = run;
    else
        worker->held = run;
    worker->held_last = run;
    worker->held_count++;
    if (!mqlua_loop_start(worker->loop, &run->timer, worker->plugin->settings->hold, hold_over))
        release(run);
}
