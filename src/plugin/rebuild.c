/* SPDX-License-Identifier: MIT */

#include "plugin/rebuild.h"
#include "api/timers.h"
#include "plugin/adopt.h"
#include "plugin/hold.h"
#include "plugin/states.h"
#include <stdlib.h>

/* After a rebuild or an attempt at one, the next one waits for so many times as long as it took. */
static const double REST = 3;

/* Two arguments for %zu.%zu: a decimal point of printf depends on the locale of the host. */
#define MEGABYTES(bytes)   (size_t)(bytes) >> 20, ((size_t)(bytes) >> 10 & 1023) * 10 / 1024
#define NUMBER(generation) ((unsigned long long)(generation))

static mqlua_state *make_again(mqlua_worker *worker, const mqlua_state *old, char **error)
{
    mqlua_place place = {worker, worker->loop, worker->number};
    return mqlua_states_make(worker->plugin, &place, old->env.bundle, old->env.generation, NULL, NULL, error);
}

static void tell(mqlua_worker *worker, const mqlua_state *old, size_t used, size_t failed)
{
    unsigned suppressed = 0;
    if (!mqlua_log_allow(&worker->rebuild_limit, mqlua_loop_now(), &suppressed))
        return;
    if (suppressed)
        mqlua_log(&worker->plugin->symbols, MQLUA_LOG_CRIT,
                  "mailerq-lua: worker %d: a state was made anew %u more times, which was not logged",
                  worker->number, suppressed);
    mqlua_log(
        &worker->plugin->symbols, MQLUA_LOG_CRIT,
        "mailerq-lua: worker %d: the policy of generation %llu, %.8s keeps %zu.%zu MB of at most %zu.%zu in "
        "memory, and had %zu.%zu when it was loaded: ITS STATE WAS MADE ANEW. What its variables held is "
        "gone, connection.vars stay, %zu waiting tasks failed; look for a table that only grows, or "
        "raise 'memory' in the settings",
        worker->number, NUMBER(old->env.generation), mqlua_bundle_hash(old->env.bundle), MEGABYTES(used),
        MEGABYTES(worker->plugin->settings->limits.memory), MEGABYTES(old->base), failed);
}

/* What waits in a state without room could only fail at its next allocation, and keeps the memory until then.
 */
static size_t fail_waiting(mqlua_worker *worker, mqlua_state *old)
{
    char text[200];
    snprintf(text, sizeof text,
             "not enough memory (the cap is %zu KB): the state was made anew while this was waiting",
             worker->plugin->settings->limits.memory / 1024);
    return mqlua_task_fail_all(old->env.vm, text);
}

static void replace(mqlua_worker *worker, mqlua_state *next, size_t used, bool full)
{
    mqlua_state *old = worker->state;
    worker->state = NULL;
    mqlua_adopt_retire(worker, old);
    mqlua_states_serve(worker, next);
    atomic_store(&worker->plugin->exhausted, old->env.generation);
    size_t failed = full ? fail_waiting(worker, old) : 0;
    mqlua_hold_move(worker, old);
    mqlua_adopt_move_idle(worker, old);
    tell(worker, old, used, failed);
}

/* Enough old states are alive already: each may hold as much as the cap. */
static bool too_many_old(const mqlua_worker *worker)
{
    int count = 0;
    const mqlua_state *old;
    LIST_FOREACH(old, &worker->old, link)
    {
        count++;
    }
    return count >= MQLUA_GENERATIONS - 1;
}

/* A fresh state must have noticeably more room than this one, or it would be no better. */
static bool helps(const mqlua_worker *worker, size_t used)
{
    size_t cap = worker->plugin->settings->limits.memory;
    return cap && used > worker->state->base && used - worker->state->base >= cap / MQLUA_VM_ROOM;
}

static void look(mqlua_worker *worker)
{
    mqlua_vm *vm = worker->state->env.vm;
    bool failed = worker->starved;
    size_t cap = worker->plugin->settings->limits.memory;
    mqlua_vm_collect(vm);
    size_t used = mqlua_vm_memory(vm);
    bool full = used > cap - cap / MQLUA_VM_ROOM;
    char *error = NULL;
    if ((!full && !failed) || !helps(worker, used) || too_many_old(worker))
        return;
    mqlua_state *next = make_again(worker, worker->state, &error);
    if (next)
        replace(worker, next, used, full && failed);
    else
        mqlua_log(
            &worker->plugin->symbols, MQLUA_LOG_CRIT,
            "mailerq-lua: worker %d: the state of generation %llu, whose memory is at its cap, cannot be "
            "made anew: %s",
            worker->number, NUMBER(worker->state->env.generation), error ? error : "not enough memory");
    free(error);
}

void mqlua_rebuild(mqlua_worker *worker)
{
    double begun = mqlua_loop_now();
    worker->crowded = false;
    if (!worker->state || begun < worker->rebuild_after)
        return;
    look(worker);
    worker->starved = false;
    worker->rebuild_after = mqlua_loop_now() + REST * (mqlua_loop_now() - begun);
}
