/* SPDX-License-Identifier: MIT */

#include "plugin/turn.h"
#include "plugin/adopt.h"
#include "plugin/renew.h"
#include <stdio.h>

/* Seconds that a turn of the loop goes on with tasks, and with hand-backs, until the host's sockets and
 * timers have theirs. The last piece of each may take a run-time budget longer. */
static const double SHARE = 0.01;

/* Timers that fall due meanwhile fire in between: a deadline waits for one piece at most. */
static void run_tasks(mqlua_worker *worker)
{
    double now = mqlua_loop_now(), end = now + SHARE;
    while (now < end && mqlua_lanes_run(&worker->lanes, &now))
        mqlua_loop_fire(worker->loop, now);
}

static void rested(mqlua_timer *timer)
{
    /* The turn that this belongs to goes on with it in its end. */
}

static void await_rested(mqlua_worker *worker)
{
    double next = mqlua_lanes_next(&worker->lanes);
    if (next > 0 && !worker->rest.place)
        mqlua_loop_start(worker->loop, &worker->rest, next - mqlua_loop_now(), rested);
}

/* One lane has used its credit up: from here on it has half of the worker's time. */
static void lane_rests(void *ud, mqlua_lane *lane)
{
    mqlua_worker *worker = ud;
    const mqlua_connection *c = lane->owner;
    unsigned suppressed = 0;
    if (!mqlua_log_allow(&worker->rest_limit, mqlua_loop_now(), &suppressed))
        return;
    char whose[64] = "timers and tasks that belong to no connection";
    if (c)
        snprintf(whose, sizeof whose, "tasks of connection %u-%llu", c->worker, c->number);
    mqlua_log(
        &worker->plugin->symbols, MQLUA_LOG_WARN,
        "mailerq-lua: worker %d: %s use more than half of the worker's time: they are slowed down to half of "
        "it, so that others are served",
        worker->number, whose);
}

/* The last thing in every turn of the loop: tasks first, then the hand-backs, inside which the host may call
 * us. */
static void end_of_turn(void *data)
{
    mqlua_worker *worker = data;
    if (mqlua_renew_is_due(worker))
        mqlua_renew(worker); /* a worker without mail adopts, too: its timers are those of a policy */
    run_tasks(worker);
    mqlua_adopt_sweep(worker);
    bool more = mqlua_pauses_drain(&worker->pauses, mqlua_loop_now() + SHARE);
    if (more || mqlua_lanes_ready(&worker->lanes, mqlua_loop_now()))
        mqlua_loop_wake(worker->loop);
    else
        await_rested(worker);
}

static void work_ready(void *ud)
{
    mqlua_worker_soon(ud);
}

void mqlua_turn_open(mqlua_worker *worker)
{
    mqlua_lanes_init(&worker->lanes, work_ready, lane_rests, worker);
    mqlua_loop_set_after(worker->loop, end_of_turn, worker);
}
