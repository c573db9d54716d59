/* SPDX-License-Identifier: MIT */

#include "plugin/run.h"
#include "api/report.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An on_error function that waits may do so for this long: the event's own deadline is probably over. */
static const double ON_ERROR_SECONDS = 1;

static bool step(mqlua_run *run);

static bool paused(const mqlua_run *run)
{
    return run->pause.connection != NULL;
}

static mqlua_connection *connection_of(mqlua_run *run)
{
    return run->peer ? &run->peer->connection : &run->own;
}

static const char *event_name(const mqlua_run *run)
{
    return mqlua_event_names[run->event];
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
    mqlua_pause_begin(&run->worker->pauses, &run->pause, run->host, pause_used);
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

static bool settle(mqlua_run *run, mqlua_carried carried)
{
    if (run->observes || (carried == MQLUA_CARRIED_CONTINUE && !paused(run))) {
        mqlua_run_free(run);
        return false;
    }
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

/* ---- failures ---- */

/* False: no memory for what the verdict cannot do without, which is where a quarantined message goes; the texts of
 * the others have something that stands in for them. */
static bool decide(mqlua_run *run, const mqlua_verdict *verdict)
{
    run->kind = verdict->kind;
    run->text = strdup(verdict->text);
    run->reason = strdup(verdict->reason);
    run->decided = run->text || verdict->kind != MQLUA_VERDICT_QUARANTINE;
    return run->decided;
}

static void deny(mqlua_run *run)
{
    run->decided = true;
    run->kind = MQLUA_VERDICT_DENY;
}

/* What a failed handler comes to: its on_error, else the policy's for this event, else the safe default. */
static void fail(mqlua_run *run, const char *error)
{
    char what[200];
    lua_State *L = mqlua_vm_state(run->state->env.vm);
    bool in_on_error = run->stage == MQLUA_RUN_ON_ERROR;
    if (!in_on_error)
        mqlua_worker_count(run->worker, run->state->env.generation, true);
    snprintf(what, sizeof what, "%s '%s' of %s failed", in_on_error ? "on_error of" : "handler",
             run->handler->name, event_name(run));
    mqlua_report(&run->state->env, what, error);
    if (run->has_message)
        mqlua_message_discard(&run->message);
    run->local.staged = false;
    int reference = run->handler->on_error;
    if (reference == LUA_NOREF)
        reference = run->state->env.registry->on_error[run->event];
    if (reference != LUA_NOREF && !in_on_error) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, reference);
        const mqlua_verdict *verdict = mqlua_object_test(L, -1, &mqlua_verdict_type, NULL);
        if (verdict) {
            if (!decide(run, verdict))
                mqlua_report(&run->state->env, what, "its on_error does nothing: not enough memory");
        } else {
            free(run->error);
            run->error = strdup(error);
            run->on_error = reference;
        }
        lua_pop(L, 1);
    } else if (run->event == MQLUA_IN_AUTHENTICATE) {
        deny(run);
    }
}

/* ---- what a handler returned ---- */

static void warn_forgotten(mqlua_run *run)
{
    char what[300];
    const mqlua_made *made = &run->state->made;
    snprintf(what, sizeof what, "handler '%s' of %s made a verdict and did not return it", run->handler->name,
             event_name(run));
    char text[300];
    snprintf(text, sizeof text, "%s: %s without 'return' does nothing", made->where,
             mqlua_verdict_name(made->kind));
    mqlua_report(&run->state->env, what, text);
}

/* The verdict in what was returned; NULL and *error (a buffer) when it is none that may be returned here. */
static const mqlua_verdict *read_verdict(mqlua_run *run, const mqlua_end *end, char *error, size_t size)
{
    int index = -end->nresults;
    const mqlua_verdict *verdict = mqlua_object_test(end->co, index, &mqlua_verdict_type, NULL);
    if (!verdict) {
        snprintf(error, size,
                 "handler '%s' of %s returned a %s: return a verdict (mq.done() and others) or nothing",
                 run->handler->name, event_name(run), luaL_typename(end->co, index));
        return NULL;
    }
    if (mqlua_verdict_misplaced(verdict->kind, run->event, run->state->env.settings, error, size))
        return NULL;
    return verdict;
}

static bool commit(mqlua_run *run)
{
    char *error = NULL;
    if (run->has_message && mqlua_message_commit(&run->message, &error) != 0) {
        fail(run, error ? error : "not enough memory");
        free(error);
        return false;
    }
    if (run->local.staged) {
        ((void (*)(void *, bool))run->worker->plugin->symbols.set_local)(run->local.host, run->local.value);
        run->local.staged = false;
    }
    return true;
}

static void returned(mqlua_run *run, const mqlua_task *task, const mqlua_end *end)
{
    char error[600];
    const mqlua_verdict *verdict = NULL;
    if (end->nresults && !lua_isnil(end->co, -end->nresults)) {
        verdict = read_verdict(run, end, error, sizeof error);
        if (!verdict && run->observes) {
            mqlua_report(&run->state->env, "a verdict was ignored", error);
        } else if (!verdict) {
            fail(run, error);
            return;
        }
    } else if (run->state->made.count && run->state->made.task == task) {
        warn_forgotten(run);
    }
    /* Writes first: a verdict of a handler whose writes cannot be stored does not count. */
    if (commit(run) && verdict && !decide(run, verdict))
        fail(run, "not enough memory");
    else if (!run->decided && run->stage == MQLUA_RUN_ON_ERROR && run->event == MQLUA_IN_AUTHENTICATE)
        deny(run); /* an error never lets anybody in, unless on_error says so */
}

static void handler_ended(mqlua_task *task, const mqlua_end *end, void *ud)
{
    mqlua_run *run = ud;
    run->task = NULL;
    if (end->outcome == MQLUA_CANCELLED)
        return; /* abandoned: whoever did it goes on */
    mqlua_loop_stop(run->worker->loop, &run->timer);
    if (run->stage == MQLUA_RUN_HANDLERS)
        mqlua_worker_count(run->worker, run->state->env.generation, false);
    if (end->outcome == MQLUA_FAILED)
        fail(run, end->error);
    else
        returned(run, task, end);
    if (!run->starting)
        step(run);
}

/* ---- handlers, one after the other ---- */

static void deadline_passed(mqlua_timer *timer)
{
    mqlua_run *run = (mqlua_run *)((char *)timer - offsetof(mqlua_run, timer));
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
    run->starting = true;
    mqlua_task_fail(run->task, message);
    run->starting = false;
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
        if (run->has_message)
            mqlua_message_end(&run->message);
        return false;
    }
    keep_control(run);
    return true;
}

static void start_handler(mqlua_run *run)
{
    mqlua_env *env = &run->state->env;
    int function;
    if (run->on_error != LUA_NOREF) {
        run->stage = MQLUA_RUN_ON_ERROR;
        function = run->on_error;
        run->on_error = LUA_NOREF;
    } else {
        run->stage = MQLUA_RUN_HANDLERS;
        run->handler = &env->registry->events[run->event].list[run->next_handler++];
        function = run->handler->function;
    }
    run->state->made.count = 0;
    run->starting = true;
    int arguments[2], count = mqlua_arguments_ready(run, arguments);
    run->task = count ? mqlua_task_start_with(env->vm, function, arguments, count, handler_ended, run)
                      : mqlua_task_start(env->vm, function, env->arguments, handler_ended, run);
    run->starting = false;
}

static bool step(mqlua_run *run)
{
    int count = run->state->env.registry->events[run->event].count;
    while (run->on_error != LUA_NOREF || (!run->decided && run->next_handler < count)) {
        start_handler(run);
        if (run->task)
            return park(run);
    }
    return settle(run, run->decided ? mqlua_carry(run) : MQLUA_CARRIED_CONTINUE);
}

/* ---- entry ---- */

static void prepare_local(mqlua_run *run)
{
    const mqlua_plugin *plugin = run->worker->plugin;
    int api = plugin->proto.settings->host.local_api;
    run->local.host = NULL;
    run->local.staged = false;
    if (run->event != MQLUA_IN_RCPTTO)
        return;
    if (api == 1 && plugin->symbols.local && plugin->symbols.set_local)
        run->local.host = run->address;
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

/* What connection.transaction shows, and the text of the address for the handlers. */
static bool track(mqlua_run *run)
{
    mqlua_transaction *t = run->peer ? &run->peer->connection.transaction : NULL;
    if (run->event != MQLUA_IN_MAILFROM && run->event != MQLUA_IN_RCPTTO)
        return true;
    const char *email = run->worker->plugin->symbols.email(run->address);
    if (run->event == MQLUA_IN_MAILFROM) {
        bool good = mqlua_transaction_begin(&run->peer->connection, email);
        run->email = t->envelope;
        return good;
    }
    if (!run->again && !mqlua_names_add(&t->recipients, email ? email : ""))
        return false;
    run->email = t->recipients.list[t->recipients.count - 1];
    return true;
}

bool mqlua_run_event(mqlua_worker *worker, mqlua_event event, MQ_Connection *host, mqlua_peer *peer,
                     const mqlua_arguments *arguments)
{
    mqlua_run *run = mqlua_run_new(worker, event, host, peer, arguments);
    if (!run)
        return false;
    mqlua_connection *connection = connection_of(run);
    bool kept;
    if (!run->state) {
        kept = settle(run, mqlua_carry_condemned(run));
        return kept;
    }
    if (worker->rerun_count)
        run->again = take_rerun(worker, event, host);
    prepare_local(run);
    mqlua_env *env = &run->state->env;
    bool close_wanted = env->registry->wanted & MQLUA_BIT(MQLUA_IN_CLOSE);
    env->outlives = false;
    connection->fresh = event != MQLUA_IN_CLOSE;
    if (event == MQLUA_IN_CONNECT && close_wanted)
        mqlua_connection_see(connection); /* at close it is too late to ask the host */
    if (peer && peer->connection.condemned && !run->observes)
        kept = settle(run, mqlua_carry_condemned(run));
    else if (!track(run))
        kept = settle(run, MQLUA_CARRIED_CONTINUE);
    else if (run->has_message && peer && mqlua_carry_refused(run))
        kept = settle(run, MQLUA_CARRIED_CONTINUE);
    else
        kept = step(run);
    if (event != MQLUA_IN_CLOSE && env->outlives && connection->host) /* a close may have ended env */
        mqlua_connection_see(
            connection); /* what was spawned may ask when the host cannot be asked any more */
    connection->fresh = false;
    return kept;
}
