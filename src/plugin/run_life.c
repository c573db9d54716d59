/* SPDX-License-Identifier: MIT */

/* How a run begins and ends. Its memory is kept for the next one until the worker ends. */

#include "plugin/run.h"
#include <stdlib.h>

static mqlua_run *take_memory(mqlua_worker *worker)
{
    mqlua_run *run = worker->spare_runs;
    if (run)
        worker->spare_runs = run->next;
    else if (!(run = calloc(1, sizeof *run)))
        return NULL;
    run->next = worker->runs;
    run->prev = NULL;
    if (run->next)
        run->next->prev = run;
    worker->runs = run;
    return run;
}

/* The slots in a run must keep counting, so it is filled in, not cleared. */
static void fill(mqlua_run *run, mqlua_worker *worker, mqlua_event event, MQ_Connection *host,
                 mqlua_peer *peer, const mqlua_arguments *arguments)
{
    run->stage = MQLUA_RUN_HANDLERS;
    run->worker = worker;
    run->state = peer ? peer->state : worker->state;
    run->event = event;
    run->host = host;
    run->peer = peer;
    run->pause.connection = NULL;
    run->chunk = LUA_NOREF;
    run->address = arguments->address;
    run->email = NULL;
    run->login = arguments->login;
    run->login_size = arguments->login_size;
    run->password = arguments->password;
    run->password_size = arguments->password_size;
    run->bytes = arguments->bytes;
    run->bytes_size = arguments->bytes_size;
    run->next_handler = 0;
    run->task = NULL;
    run->starting = run->decided = run->again = false;
    run->entered = true;
    run->observes = event == MQLUA_IN_CLOSE || event == MQLUA_OUT_SENT;
    run->has_message = arguments->message != NULL;
    run->begun = 0;
    run->on_error = LUA_NOREF;
    if (run->state) {
        run->state->users++;
        if (run->has_message)
            mqlua_message_init(&run->message, &run->state->env, arguments->message, event);
        if (!peer) {
            /* Nothing tells when an outgoing connection begins or ends: what has an id is one event on it. */
            mqlua_connection_init(&run->own, &run->state->env, host, true);
            run->own.worker = (unsigned)worker->number;
            run->own.number = ++worker->connections;
        }
    }
}

mqlua_run *mqlua_run_new(mqlua_worker *worker, mqlua_event event, MQ_Connection *host, mqlua_peer *peer,
                         const mqlua_arguments *arguments)
{
    mqlua_run *run = take_memory(worker);
    if (run)
        fill(run, worker, event, host, peer, arguments);
    return run;
}

static void forget_verdict(mqlua_run *run)
{
    free(run->text);
    free(run->reason);
    free(run->error);
    run->text = run->reason = run->error = NULL;
}

void mqlua_run_free(mqlua_run *run)
{
    mqlua_worker *worker = run->worker;
    mqlua_peer *peer = run->peer;
    mqlua_loop_stop(worker->loop, &run->timer);
    mqlua_hold_remove(run);
    forget_verdict(run);
    if (run->state) {
        if (run->has_message)
            mqlua_message_end(&run->message);
        mqlua_arguments_free(run);
        if (!peer)
            mqlua_connection_end(&run->own);
        mqlua_worker_release_state(worker, run->state);
    }
    if (peer && peer->run == run)
        peer->run = NULL;
    if (run->prev)
        run->prev->next = run->next;
    else
        worker->runs = run->next;
    if (run->next)
        run->next->prev = run->prev;
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
