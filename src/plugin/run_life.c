/* SPDX-License-Identifier: MIT */

/* How a run ends. Its memory is kept for the next one until the worker ends. */

#include "plugin/run.h"
#include <stdlib.h>

void mqlua_run_list(mqlua_run *run)
{
    mqlua_worker *worker = run->worker;
    if (run->listed)
        return;
    run->listed = true;
    run->prev = NULL;
    run->next = worker->runs;
    if (run->next)
        run->next->prev = run;
    worker->runs = run;
}

static void unlist(mqlua_run *run)
{
    run->listed = false;
    if (run->prev)
        run->prev->next = run->next;
    else
        run->worker->runs = run->next;
    if (run->next)
        run->next->prev = run->prev;
}

static void forget_verdict(mqlua_run *run)
{
    free(run->text);
    free(run->reason);
    free(run->error);
    run->text = run->reason = run->error = NULL;
}

/* What most runs never had costs a look. */
void mqlua_run_free(mqlua_run *run)
{
    mqlua_worker *worker = run->worker;
    mqlua_peer *peer = run->peer;
    if (run->timer.place)
        mqlua_loop_stop(worker->loop, &run->timer);
    if (run->stage == MQLUA_RUN_HELD)
        mqlua_hold_remove(run);
    if (run->text || run->reason || run->error)
        forget_verdict(run);
    if (run->listed)
        unlist(run);
    if (run->state) {
        if (run->has_message)
            mqlua_message_end(&run->message);
        if (MQLUA_BIT(run->event) & MQLUA_ARGUMENTS_KEPT)
            mqlua_arguments_free(run);
        if (!peer)
            mqlua_connection_end(&run->own);
        mqlua_worker_release_state(worker, run->state);
    }
    if (peer && peer->run == run)
        peer->run = NULL;
    run->stage = MQLUA_RUN_FREE;
    run->next = worker->spare_runs;
    worker->spare_runs = run;
    if (peer && run->event == MQLUA_IN_CLOSE)
        mqlua_peer_free(worker, peer);
}

void mqlua_runs_free(mqlua_worker *worker)
{
    while (worker->spare_runs) {
        mqlua_run *run = worker->spare_runs;
        worker->spare_runs = run->next;
        free(run);
    }
}

void mqlua_run_abandon(mqlua_run *run)
{
    mqlua_task *task = run->task;
    mqlua_pause_kill(&run->worker->pauses, &run->pause);
    run->task = NULL;
    if (task)
        mqlua_task_cancel(task);
    mqlua_run_free(run);
}
