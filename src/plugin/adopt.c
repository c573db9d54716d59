/* SPDX-License-Identifier: MIT */

#include "plugin/adopt.h"
#include "api/move.h"
#include "api/timers.h"
#include "plugin/states.h"
#include "vm/copy.h"

/* What a generation does on its own (timers, tasks that belong to no connection) goes on for so long after it
 * was replaced. */
static const double LINGER_SECONDS = 10;

/* ---- connections ---- */

static bool is_idle(const mqlua_peer *peer)
{
    return !peer->run && !mqlua_connection_has_jobs(&peer->connection);
}

void mqlua_adopt_move(mqlua_worker *worker, mqlua_peer *peer)
{
    mqlua_state *old = peer->state;
    if (!old || old->env.generation != worker->state->env.generation)
        peer->counted = 0;
    peer->state = worker->state;
    peer->state->users++;
    mqlua_move_connection(&peer->connection, &peer->state->env, &worker->numbers);
    if (old)
        mqlua_states_release(worker, old);
}

/* The state was made anew: whoever is in the middle of a transaction is judged by the same policy. */
static bool is_same_policy(const mqlua_peer *peer, const mqlua_worker *worker)
{
    return peer->state && worker->state && peer->state->env.generation == worker->state->env.generation;
}

void mqlua_adopt_look(mqlua_worker *worker, mqlua_peer *peer, mqlua_event event)
{
    if (event == MQLUA_IN_MAILFROM)
        peer->counted = 0;
    bool unseen = event == MQLUA_IN_RCPTTO && peer->delivered; /* a MAIL FROM that we were not told of */
    if (unseen)
        mqlua_transaction_end(&peer->connection);
    bool between = !peer->pinned || unseen || event == MQLUA_IN_MAILFROM;
    if (between)
        peer->delivered = false;
    if (peer->state != worker->state && is_idle(peer) && (between || is_same_policy(peer, worker)))
        mqlua_adopt_move(worker, peer);
    peer->pinned |= event >= MQLUA_IN_MAILFROM;
    peer->delivered |= event == MQLUA_IN_DATA || event == MQLUA_IN_MESSAGE;
}

/* ---- old generations ---- */

static bool is_quiet(const mqlua_state *state)
{
    return !state->users && !mqlua_task_count(state->env.vm) && !mqlua_timers_any(&state->env);
}

static void linger_over(mqlua_timer *timer)
{
    /* The turn that this belongs to sweeps in its end. */
}

static void end_old(mqlua_worker *worker, mqlua_state *state)
{
    LIST_REMOVE(state, link);
    mqlua_state_stop(state);
    mqlua_states_dispose(worker->plugin, state);
    if (LIST_EMPTY(&worker->old) && worker->state)
        mqlua_copy_forget(worker->state->env.vm); /* there is nobody left who could move */
}

/* What a state has of its own can be any number of tasks and timers: some of it ends at each call. True when
 * there is more to do at once. */
static bool wind_down(mqlua_worker *worker, mqlua_state *state)
{
    bool over = !state->users && mqlua_loop_now() >= state->ends;
    if (over)
        mqlua_task_cancel_all(state->env.vm);
    else if (!state->users && !worker->linger.place)
        mqlua_loop_start(worker->loop, &worker->linger, state->ends - mqlua_loop_now(), linger_over);
    return !mqlua_timers_stop_some(&state->env, over);
}

void mqlua_adopt_sweep(mqlua_worker *worker)
{
    bool any = false, more = false;
    mqlua_state *state, *following;
    LIST_FOREACH_SAFE(state, &worker->old, link, following)
    {
        if (is_quiet(state)) {
            end_old(worker, state);
            any = true;
        } else {
            more |= wind_down(worker, state);
        }
    }
    if (any)
        mqlua_worker_update_wanted(worker);
    if (more)
        mqlua_loop_wake(worker->loop);
}

/* ---- the bound ---- */

size_t mqlua_adopt_move_idle(mqlua_worker *worker, const mqlua_state *state)
{
    size_t moved = 0;
    for (mqlua_peer *peer = NULL; (peer = mqlua_peers_next(&worker->peers, peer));) {
        if (peer->state != state || !is_idle(peer))
            continue;
        mqlua_adopt_move(worker, peer);
        moved++;
    }
    return moved;
}

static mqlua_state *oldest_but(mqlua_worker *worker, size_t skipped, size_t live)
{
    mqlua_state *state = LIST_FIRST(&worker->old);
    for (size_t i = 2 + skipped; i < live; i++)
        state = LIST_NEXT(state, link);
    return state;
}

void mqlua_adopt_keep_bound(mqlua_worker *worker)
{
    size_t live = 1, skipped = 0;
    const mqlua_state *old;
    LIST_FOREACH(old, &worker->old, link)
    {
        live++;
    }
    while (live > MQLUA_GENERATIONS && live - skipped > 1) {
        mqlua_state *state = oldest_but(worker, skipped, live);
        size_t moved = mqlua_adopt_move_idle(worker, state);
        if (moved)
            mqlua_log(&worker->plugin->symbols, MQLUA_LOG_INFO,
                      "mailerq-lua: worker %d has more than %d generations: %zu idle connections move from "
                      "generation %llu "
                      "to %llu",
                      worker->number, MQLUA_GENERATIONS, moved, (unsigned long long)state->env.generation,
                      (unsigned long long)worker->state->env.generation);
        if (state->users) {
            skipped++;
            continue;
        }
        state->ends = 0; /* the sweep ends it, bit by bit */
        live--;
    }
}

void mqlua_adopt_retire(mqlua_worker *worker, mqlua_state *state)
{
    mqlua_vm_set_crowded(state->env.vm, NULL, NULL);
    state->env.replaced = true;
    state->ends = mqlua_loop_now() + LINGER_SECONDS;
    LIST_INSERT_HEAD(&worker->old, state, link);
}

void mqlua_adopt_end(mqlua_worker *worker)
{
    mqlua_state *state = worker->state;
    worker->state = NULL;
    mqlua_states_free(state);
    for (mqlua_state *old; (old = LIST_FIRST(&worker->old));) {
        LIST_REMOVE(old, link);
        mqlua_states_free(old);
    }
    mqlua_states_free(atomic_exchange(&worker->prepared, NULL));
}
