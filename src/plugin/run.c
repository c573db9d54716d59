/* SPDX-License-Identifier: MIT */

#include "plugin/run_internal.h"
#include "plugin/arguments.h"
#include "plugin/carry.h"
#include "plugin/dispose.h"
#include "plugin/hold.h"
#include "plugin/outcome.h"
#include "plugin/run_life.h"
#include "api/tasks.h"
#include <stdlib.h>
#include <string.h>

/* An on_error function that waits may do so for this long: the event's own deadline is probably over. */
static const double ON_ERROR_SECONDS = 1;

static bool step(mqlua_run *run);
static void go_on(mqlua_run *run);

static bool paused(const mqlua_run *run)
{
    return run->pause.connection != NULL;
}

static mqlua_connection *connection_of(mqlua_run *run)
{
    return run->peer ? &run->peer->connection : &run->own;
}

/* ---- the end ---- */

/* Right before a hand-back: inside it the host may begin the next event of this connection. */
static void pause_used(mqlua_pause *pause)
{
    mqlua_run_free((mqlua_run *)pause);
}

static void keep_control(mqlua_run *run)
{
    if (paused(run))
        return;
    mqlua_pause_begin(&run->pause, run->host, pause_used);
    mqlua_run_list(run);
    if (run->peer)
        run->peer->run = run;
}

static bool hand_back(mqlua_run *run, mqlua_hand hand)
{
    keep_control(run);
    run->stage = MQLUA_RUN_ENDING;
    mqlua_pause_hand_back(&run->worker->pauses, &run->pause, hand);
    if (run->entered) /* otherwise a turn of the loop is under way, whose end does it */
        mqlua_worker_soon(run->worker);
    return true;
}

static bool hold(mqlua_run *run)
{
    keep_control(run);
    if (run->event != MQLUA_OUT_DATA) {
        mqlua_hold_add(run);
        return true;
    }
    /* mq.hold: the host waits until the remote side closes and is not told otherwise; nothing is owed. */
    mqlua_pause_kill(&run->worker->pauses, &run->pause);
    mqlua_run_free(run);
    return true;
}

static bool settle_kept(mqlua_run *run, mqlua_carried carried)
{
    switch (carried) {
    case MQLUA_CARRIED_COMPLETE:
        return hand_back(run, MQLUA_COMPLETE);
    case MQLUA_CARRIED_RETRY:
        return hand_back(run, MQLUA_RETRY);
    case MQLUA_CARRIED_HOLD:
        return hold(run);
    default:
        return hand_back(run, MQLUA_CONTINUE);
    }
}

static bool settle(mqlua_run *run, mqlua_carried carried)
{
    if (!run->observes && (carried != MQLUA_CARRIED_CONTINUE || paused(run)))
        return settle_kept(run, carried);
    mqlua_run_free(run);
    return false;
}

/* ---- handlers, one after the other ---- */

static void handler_ended(mqlua_task *task, const mqlua_end *end, void *ud)
{
    mqlua_run *run = ud;
    bool starting = !run->task; /* whoever started it goes on himself */
    run->task = NULL;
    if (end->outcome == MQLUA_CANCELLED)
        return; /* abandoned: whoever did it goes on */
    if (run->timer.place)
        mqlua_loop_stop(run->worker->loop, &run->timer);
    if (run->stage == MQLUA_RUN_HANDLERS)
        mqlua_outcome_count(run, false);
    if (end->outcome == MQLUA_FAILED)
        mqlua_outcome_fail(run, end->error);
    else
        mqlua_outcome_returned(run, task, end);
    if (!starting)
        go_on(run);
}

static void deadline_passed(mqlua_timer *timer)
{
    mqlua_run *run = (mqlua_run *)((char *)timer - offsetof(mqlua_run, timer));
    run->late = run->task && !mqlua_tasks_sleeps(run->task);
    if (run->task)
        mqlua_task_fail(run->task, "the deadline passed while the handler was waiting");
}

static double seconds_left(mqlua_run *run)
{
    const mqlua_registry *registry = run->state->env.registry;
    double now = mqlua_loop_now();
    if (run->stage == MQLUA_RUN_ON_ERROR)
        return ON_ERROR_SECONDS;
    /* Handlers that did not wait took at most their run-time budget: the clock is first read here. */
    if (run->begun == 0)
        run->begun = now;
    double left = run->begun - now +
                  (mqlua_event_outgoing(run->event) ? registry->deadline_out : registry->deadline_in);
    if (run->handler->timeout > 0 && run->handler->timeout < left)
        left = run->handler->timeout;
    return left;
}

/* Fails the task that has just parked, as if it had raised. */
static bool fail_parked(mqlua_run *run, const char *message)
{
    mqlua_task *task = run->task;
    run->task = NULL; /* as while it started */
    mqlua_task_fail(task, message);
    return step(run);
}

/* A handler waits: from here on the run goes on from the loop. */
static bool park(mqlua_run *run)
{
    bool first = run->entered && !paused(run);
    if (first && run->local.staged)
        return fail_parked(
            run, "address.is_local was assigned and then the handler waited: the host takes it only "
                 "from a handler that has not waited");
    if (first && !mqlua_arguments_keep(run))
        return fail_parked(run, "not enough memory");
    if (!mqlua_loop_start(run->worker->loop, &run->timer, seconds_left(run), deadline_passed))
        return fail_parked(run, "no timer can be had for the deadline");
    if (first)
        mqlua_connection_see(connection_of(run));
    run->entered = false;
    if (run->observes) {
        /* The host goes on at once; what it lent us ends here. */
        mqlua_run_list(run);
        if (run->has_message)
            mqlua_message_end(&run->message);
        return false;
    }
    keep_control(run);
    return true;
}

static void start_handler(mqlua_run *run, const mqlua_handlers *handlers)
{
    mqlua_env *env = &run->state->env;
    int function;
    if (run->on_error != LUA_NOREF) {
        run->stage = MQLUA_RUN_ON_ERROR;
        function = run->on_error;
        run->on_error = LUA_NOREF;
    } else {
        run->stage = MQLUA_RUN_HANDLERS;
        run->handler = &handlers->list[run->next_handler++];
        function = run->handler->function;
    }
    run->state->made.count = 0;
    run->late = false;
    mqlua_lane *lane = connection_of(run)->lane;
    int arguments[2], count = mqlua_arguments_ready(run, arguments);
    run->task = count ? mqlua_task_start_with(env->vm, lane, function, arguments, count, handler_ended, run)
                      : mqlua_task_start(env->vm, lane, function, env->arguments, handler_ended, run);
}

static bool has_next(const mqlua_run *run)
{
    return (!run->decided && run->next_handler < run->state->env.registry->events[run->event].count) ||
           run->on_error != LUA_NOREF;
}

/* One handler may take its budget. Where several have taken long already, the next one runs from the loop, so
 * that the other connections of the worker have their turn. Whether an address is local can be said only
 * here. */
static bool took_long(mqlua_run *run)
{
    const mqlua_env *env = &run->state->env;
    run->spent += mqlua_vm_take_busy(env->vm);
    return env->settings->limits.budget > 0 && run->spent > env->settings->limits.budget / 2 &&
           !run->observes && !run->local.host;
}

/* The next handler, and those behind it, run from the loop. */
static bool come_back(mqlua_run *run)
{
    if (!run->entered) {
        mqlua_lane_add(connection_of(run)->lane, &run->piece);
        return true;
    }
    if (!paused(run) && !mqlua_arguments_keep(run)) {
        mqlua_outcome_fail(run, "not enough memory");
        run->on_error = LUA_NOREF;
        return settle(run, run->decided ? mqlua_carry(run) : MQLUA_CARRIED_CONTINUE);
    }
    mqlua_connection_see(connection_of(run));
    run->entered = false;
    keep_control(run);
    mqlua_lane_add(connection_of(run)->lane, &run->piece);
    return true;
}

static bool step(mqlua_run *run)
{
    const mqlua_handlers *handlers = &run->state->env.registry->events[run->event];
    if (handlers->count > run->next_handler + 1)
        mqlua_vm_take_busy(run->state->env.vm); /* what ran before does not count */
    for (bool first = true; has_next(run); first = false) {
        if (!first && (!run->entered || took_long(run)))
            return come_back(run);
        start_handler(run, handlers);
        if (run->task)
            return park(run);
    }
    return settle(run, run->decided ? mqlua_carry(run) : MQLUA_CARRIED_CONTINUE);
}

/* A handler that had waited has ended: the next one is a piece of its own. */
static void go_on(mqlua_run *run)
{
    if (has_next(run))
        mqlua_lane_add(connection_of(run)->lane, &run->piece);
    else
        step(run);
}

static void turn(mqlua_piece *piece)
{
    step((mqlua_run *)(void *)((char *)piece - offsetof(mqlua_run, piece)));
}

/* ---- entry ---- */

static void prepare_local(mqlua_run *run)
{
    const mqlua_plugin *plugin = run->worker->plugin;
    int api = plugin->proto.settings->host.local_api;
    if (api == 1 && plugin->symbols.local && plugin->symbols.set_local)
        run->local.host = run->given.address;
    else if (api == 0)
        run->local.unavailable =
            "this host's MQ_local takes messages: use message.is_local in smtp_in_message";
    else
        run->local.unavailable = "whether this host's MQ_local takes messages or addresses is not known: say "
                                 "local_api under \"host\" in the settings";
}

static bool take_rerun(mqlua_worker *worker, mqlua_event event, MQ_Connection *host)
{
    for (size_t i = 0; i < worker->rerun_count; i++) {
        if (worker->reruns[i].connection != host)
            continue;
        bool same = worker->reruns[i].event == event;
        worker->reruns[i] = worker->reruns[--worker->rerun_count];
        return same;
    }
    return false;
}

bool mqlua_run_is_again(const mqlua_worker *worker, mqlua_event event, MQ_Connection *host)
{
    for (size_t i = 0; i < worker->rerun_count; i++)
        if (worker->reruns[i].connection == host && worker->reruns[i].event == event)
            return true;
    return false;
}

void mqlua_run_forget(mqlua_worker *worker, MQ_Connection *host)
{
    take_rerun(worker, MQLUA_IN_CLOSE, host);
}

static bool is_last(const mqlua_names *names, const char *name)
{
    return names->count && strcmp(names->list[names->count - 1], name) == 0;
}

/* MAIL FROM and RCPT TO: what connection.transaction shows, and the text of the address for the handlers. */
static bool track(mqlua_run *run)
{
    mqlua_transaction *t = &run->peer->connection.transaction;
    const char *email = run->worker->plugin->symbols.email(run->given.address);
    if (run->event == MQLUA_IN_MAILFROM) {
        bool good = mqlua_transaction_begin(&run->peer->connection, email);
        run->email = t->envelope;
        return good;
    }
    /* The one that mq.rerun asked for may not have come, because another plugin took it. */
    bool offered = run->again && is_last(&t->recipients, email ? email : "");
    if (!offered && !mqlua_names_add(&t->recipients, email ? email : ""))
        return false;
    run->email = t->recipients.list[t->recipients.count - 1];
    return true;
}

static mqlua_run *take_memory(mqlua_worker *worker)
{
    mqlua_run *run = SLIST_FIRST(&worker->spare_runs);
    if (run) {
        SLIST_REMOVE_HEAD(&worker->spare_runs, spare);
    } else if ((run = calloc(1, sizeof *run))) {
        run->chunk = LUA_NOREF;
        run->piece.run = turn;
        run->own.lane = &run->own_lane;
        run->own_lane.owner = &run->own;
        mqlua_lane_attach(&run->own_lane, &worker->lanes);
    }
    return run;
}

/* What handlers of such events ask for is an object of the run. */
static void fill_objects(mqlua_run *run)
{
    mqlua_env *env = &run->state->env;
    if (run->has_message)
        mqlua_message_init(&run->message, env, run->given.message, run->event);
    if (!run->peer) {
        /* Nothing tells when an outgoing connection begins or ends: what has an id is one event on it. */
        mqlua_connection_init(&run->own, env, run->host, true);
        run->own.worker = (unsigned)run->worker->number;
        run->own.number = ++run->worker->connections;
    }
}

/* What run_free leaves as it was before is not set again. The slots must keep counting. */
static mqlua_run *run_new(mqlua_worker *worker, mqlua_event event, MQ_Connection *host, mqlua_peer *peer,
                          const mqlua_arguments *arguments)
{
    mqlua_run *run = take_memory(worker);
    if (!run)
        return NULL;
    run->stage = MQLUA_RUN_HANDLERS;
    run->worker = worker;
    run->state = peer ? peer->state : worker->state;
    run->event = event;
    run->host = host;
    run->peer = peer;
    run->given = *arguments;
    run->email = NULL;
    run->next_handler = 0;
    run->on_error = LUA_NOREF;
    run->task = NULL;
    run->begun = run->spent = 0;
    run->decided = run->again = run->late = false;
    run->counted = 0;
    run->entered = true;
    run->observes = event == MQLUA_IN_CLOSE || event == MQLUA_OUT_SENT;
    run->has_message = arguments->message != NULL;
    if (run->state) {
        run->state->users++;
        if (run->has_message || !peer)
            fill_objects(run);
    }
    return run;
}

/* What happens before the first handler. False: there will be none, and *carried is what to do instead. */
static bool may_begin(mqlua_run *run, mqlua_carried *carried)
{
    const mqlua_peer *peer = run->peer;
    mqlua_event event = run->event;
    *carried = MQLUA_CARRIED_CONTINUE;
    if (run->worker->rerun_count)
        run->again = take_rerun(run->worker, event, run->host);
    if (peer && peer->connection.condemned && !run->observes) {
        *carried = mqlua_carry_condemned(run);
        return false;
    }
    if (event == MQLUA_IN_DATA && peer && peer->connection.transaction.answered) {
        *carried = MQLUA_CARRIED_COMPLETE; /* one command, one reply: neither ours nor another plugin's */
        return false;
    }
    if (event == MQLUA_IN_CONNECT && run->state->env.registry->wanted & MQLUA_BIT(MQLUA_IN_CLOSE))
        mqlua_connection_see(connection_of(run)); /* at close it is too late to ask the host */
    if (event == MQLUA_IN_RCPTTO)
        prepare_local(run);
    if ((event == MQLUA_IN_MAILFROM || event == MQLUA_IN_RCPTTO) && !track(run))
        return false;
    return !run->has_message || !peer || !(mqlua_dispose_done(run) || mqlua_carry_refused(run));
}

bool mqlua_run_event(mqlua_worker *worker, mqlua_event event, MQ_Connection *host, mqlua_peer *peer,
                     const mqlua_arguments *arguments)
{
    mqlua_carried carried;
    mqlua_run *run = run_new(worker, event, host, peer, arguments);
    if (!run)
        return false;
    if (!run->state)
        return settle(run, mqlua_carry_condemned(run));
    mqlua_connection *connection = connection_of(run);
    mqlua_env *env = &run->state->env;
    env->outlives = false;
    connection->fresh = event != MQLUA_IN_CLOSE;
    bool kept = may_begin(run, &carried) ? step(run) : settle(run, carried);
    if (event == MQLUA_IN_CLOSE) /* that may have ended env */
        return kept;
    if (env->outlives &&
        connection->host) /* what was spawned may ask when the host cannot be asked any more */
        mqlua_connection_see(connection);
    connection->fresh = false;
    return kept;
}
