/* SPDX-License-Identifier: MIT */

#include "plugin/outcome.h"
#include "api/report.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- failures ---- */

/* False: no memory for what the verdict cannot do without, which is where a quarantined message goes; the
 * texts of the others have something that stands in for them. */
static bool decide(mqlua_run *run, const mqlua_verdict *verdict)
{
    run->kind = verdict->kind;
    run->text = *verdict->text ? strdup(verdict->text) : NULL;
    run->reason = *verdict->reason ? strdup(verdict->reason) : NULL;
    run->decided = run->text || verdict->kind != MQLUA_VERDICT_QUARANTINE;
    return run->decided;
}

static void deny(mqlua_run *run)
{
    run->decided = true;
    run->kind = MQLUA_VERDICT_DENY;
}

void mqlua_outcome_fail(mqlua_run *run, const char *error)
{
    char what[200];
    lua_State *L = mqlua_vm_state(run->state->env.vm);
    bool in_on_error = run->stage == MQLUA_RUN_ON_ERROR;
    if (!in_on_error && !run->late) /* that others are slow says nothing about the policy */
        mqlua_outcome_count(run, true);
    snprintf(what, sizeof what, "%s '%s' of %s failed", in_on_error ? "on_error of" : "handler",
             run->handler->name, mqlua_event_names[run->event]);
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
             mqlua_event_names[run->event]);
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
                 run->handler->name, mqlua_event_names[run->event], luaL_typename(end->co, index));
        return NULL;
    }
    if (mqlua_verdict_misplaced(verdict->kind, run->event, run->state->env.settings, error, size))
        return NULL;
    return verdict;
}

static bool commit_message(mqlua_run *run)
{
    char *error = NULL;
    if (mqlua_message_commit(&run->message, &error) == 0)
        return true;
    mqlua_outcome_fail(run, error ? error : "not enough memory");
    free(error);
    return false;
}

static bool commit(mqlua_run *run)
{
    if (run->has_message && !commit_message(run))
        return false;
    if (run->local.staged) {
        ((void (*)(void *, bool))run->worker->plugin->symbols.set_local)(run->local.host, run->local.value);
        run->local.staged = false;
    }
    return true;
}

/* False: it is none that may be returned here; the handler has failed. */
static bool take_verdict(mqlua_run *run, const mqlua_end *end, const mqlua_verdict **verdict)
{
    char error[600];
    *verdict = read_verdict(run, end, error, sizeof error);
    if (!*verdict && run->observes)
        mqlua_report(&run->state->env, "a verdict was ignored", error);
    else if (!*verdict)
        mqlua_outcome_fail(run, error);
    return *verdict || run->observes;
}

void mqlua_outcome_returned(mqlua_run *run, const mqlua_task *task, const mqlua_end *end)
{
    const mqlua_verdict *verdict = NULL;
    if (end->nresults && !lua_isnil(end->co, -end->nresults)) {
        if (!take_verdict(run, end, &verdict))
            return;
    } else if (run->state->made.count && run->state->made.task == task) {
        warn_forgotten(run);
    }
    /* Writes first: a verdict of a handler whose writes cannot be stored does not count. */
    if (commit(run) && verdict && !decide(run, verdict))
        mqlua_outcome_fail(run, "not enough memory");
    else if (!run->decided && run->stage == MQLUA_RUN_ON_ERROR && run->event == MQLUA_IN_AUTHENTICATE)
        deny(run); /* an error never lets anybody in, unless on_error says so */
}
