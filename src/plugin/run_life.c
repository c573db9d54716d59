/* SPDX-License-Identifier: MIT */

/* How a run ends. Its memory is kept for the next one until the worker ends. */

#include "plugin/run_life.h"
#include "plugin/arguments.h"
#include "plugin/hold.h"
#include "plugin/peer.h"
#include "plugin/run_internal.h"
#include "plugin/states.h"
#include <stdlib.h>

void mqlua_run_list(mqlua_run *run)
{
    mqlua_worker *worker = run->worker;
    if (run->listed)
        return;
    run->listed = true;
    LIST_INSERT_HEAD(&worker->runs, run, link);
}

static void unlist(mqlua_run *run)
{
    run->listed = false;
    LIST_REMOVE(run, link);
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
    if (run->piece.lane)
        mqlua_piece_remove(&run->piece);
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
        mqlua_states_release(worker, run->state);
    }
    if (peer && peer->run == run)
        peer->run = NULL;
    run->stage = MQLUA_RUN_FREE;
    SLIST_INSERT_HEAD(&worker->spare_runs, run, spare);
    if (peer && run->event == MQLUA_IN_CLOSE)
        mqlua_peer_free(worker, peer);
}

void mqlua_runs_free(mqlua_worker *worker)
{
    for (mqlua_run *run; (run = SLIST_FIRST(&worker->spare_runs));) {
        SLIST_REMOVE_HEAD(&worker->spare_runs, spare);
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
