/* SPDX-License-Identifier: MIT */

#include "plugin/worker.h"
#include "api/report.h"
#include "api/tasks.h"
#include "base/threads.h"
#include "plugin/adopt.h"
#include "plugin/rebuild.h"
#include "plugin/reload.h"
#include "plugin/run.h"
#include "vm/refs.h"
#include <stdlib.h>
#include <string.h>

/* ---- what to look at ---- */

#define INCOMING_TRANSACTION                                                                                 \
    (MQLUA_BIT(MQLUA_IN_RCPTTO) | MQLUA_BIT(MQLUA_IN_DATA) | MQLUA_BIT(MQLUA_IN_MESSAGE))
#define ALL_INCOMING                                                                                         \
    (MQLUA_BIT(MQLUA_IN_CONNECT) | MQLUA_BIT(MQLUA_IN_SECURE) | MQLUA_BIT(MQLUA_IN_AUTHENTICATE) |           \
     MQLUA_BIT(MQLUA_IN_MAILFROM) | INCOMING_TRANSACTION | MQLUA_BIT(MQLUA_IN_CLOSE))

void mqlua_worker_update_wanted(mqlua_worker *worker)
{
    unsigned wanted = worker->state ? worker->state->env.registry->wanted : 0;
    if (!worker->state && !worker->plugin->settings->start_without_policy)
        wanted = MQLUA_BIT(MQLUA_IN_CONNECT);
    const mqlua_state *old;
    LIST_FOREACH(old, &worker->old, link)
    {
        wanted |= old->env.registry->wanted;
    }
    /* connection.transaction is there for all that follow MAIL FROM and RCPT TO. */
    if (wanted & INCOMING_TRANSACTION)
        wanted |= MQLUA_BIT(MQLUA_IN_MAILFROM) | MQLUA_BIT(MQLUA_IN_RCPTTO);
    /* The addresses cannot be asked for any more when the connection is closed. */
    if (wanted & MQLUA_BIT(MQLUA_IN_CLOSE))
        wanted |= MQLUA_BIT(MQLUA_IN_CONNECT);
    /* A pointer that connects again was closed without our being told. */
    if (worker->peers.count)
        wanted |= MQLUA_BIT(MQLUA_IN_CLOSE) | MQLUA_BIT(MQLUA_IN_CONNECT);
    if (worker->condemned || worker->plugin->settings->host.reply_never == 1)
        wanted |= ALL_INCOMING;
    worker->wanted = wanted;
}

/* ---- peers ---- */

static mqlua_peer *new_memory(mqlua_worker *worker)
{
    mqlua_peer *peer = calloc(1, sizeof *peer);
    if (!peer)
        return NULL;
    peer->connection.lane = &peer->lane;
    peer->lane.owner = &peer->connection;
    mqlua_lane_attach(&peer->lane, &worker->lanes);
    return peer;
}

static mqlua_peer *take_memory(mqlua_worker *worker, MQ_Connection *host)
{
    mqlua_peer *peer = SLIST_FIRST(&worker->spare_peers);
    if (peer)
        SLIST_REMOVE_HEAD(&worker->spare_peers, spare);
    else if (!(peer = new_memory(worker)))
        return NULL;
    mqlua_lane_renew(&peer->lane);
    peer->host = host;
    peer->run = NULL;
    peer->pinned = peer->delivered = false;
    peer->counted = 0;
    peer->state = worker->state;
    peer->mapped = mqlua_peers_add(&worker->peers, peer);
    if (!peer->mapped) {
        SLIST_INSERT_HEAD(&worker->spare_peers, peer, spare);
        return NULL;
    }
    return peer;
}

mqlua_peer *mqlua_peer_new(mqlua_worker *worker, MQ_Connection *host)
{
    mqlua_peer *peer = take_memory(worker, host);
    if (!peer)
        return NULL;
    mqlua_connection_init(&peer->connection, peer->state ? &peer->state->env : NULL, host, false);
    peer->connection.worker = (unsigned)worker->number;
    peer->connection.number = ++worker->connections;
    if (peer->state)
        peer->state->users++;
    if (worker->peers.count == 1)
        mqlua_worker_update_wanted(worker);
    return peer;
}

void mqlua_peer_unmap(mqlua_worker *worker, mqlua_peer *peer)
{
    if (!peer->mapped)
        return;
    peer->mapped = false;
    mqlua_peers_remove(&worker->peers, peer);
    if (!worker->peers.count)
        mqlua_worker_update_wanted(worker);
}

void mqlua_peer_free(mqlua_worker *worker, mqlua_peer *peer)
{
    mqlua_state *state = peer->state;
    mqlua_connection_end(&peer->connection);
    mqlua_peer_unmap(worker, peer);
    if (peer->connection.condemned && !--worker->condemned)
        mqlua_worker_update_wanted(worker);
    SLIST_INSERT_HEAD(&worker->spare_peers, peer, spare);
    if (state)
        mqlua_worker_release_state(worker, state);
}

void mqlua_peer_close(mqlua_worker *worker, mqlua_peer *peer)
{
    if (peer->run)
        mqlua_run_abandon(peer->run);
    mqlua_run_forget(worker, peer->host);
    mqlua_connection_cancel_jobs(&peer->connection);
    if (peer->connection.leases.count)
        mqlua_leases_end(&peer->connection.leases);
    mqlua_peer_unmap(worker, peer);
    if (peer->state && peer->state->env.registry->wanted & MQLUA_BIT(MQLUA_IN_CLOSE))
        mqlua_run_event(worker, MQLUA_IN_CLOSE, peer->host, peer, &(mqlua_arguments){0}); /* frees the peer */
    else
        mqlua_peer_free(worker, peer);
}

/* ---- what an event cannot do itself ---- */

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

static void soon_fired(mqlua_timer *timer)
{
    /* The turn that this belongs to does the work in its end. */
}

static void rested(mqlua_timer *timer)
{
    /* As above. */
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
    if (mqlua_adopt_is_due(worker))
        mqlua_adopt(worker); /* a worker without mail adopts, too: its timers are those of a policy */
    run_tasks(worker);
    mqlua_adopt_sweep(worker);
    bool more = mqlua_pauses_drain(&worker->pauses, mqlua_loop_now() + SHARE);
    if (more || mqlua_lanes_ready(&worker->lanes, mqlua_loop_now()))
        mqlua_loop_wake(worker->loop);
    else
        await_rested(worker);
}

void mqlua_worker_soon(mqlua_worker *worker)
{
    if (!worker->soon.place && !mqlua_loop_start(worker->loop, &worker->soon, 0, soon_fired))
        mqlua_loop_wake(worker->loop); /* a hand-back is owed, timer or not */
}

static void work_ready(void *ud)
{
    mqlua_worker_soon(ud);
}

/* ---- states ---- */

static int reference_arguments(lua_State *L)
{
    mqlua_env *env = lua_touserdata(L, 1);
    lua_pushcfunction(L, mqlua_arguments_push);
    env->arguments = mqlua_refs_add(L);
    return 0;
}

mqlua_state *mqlua_worker_make_state(mqlua_plugin *plugin, const mqlua_place *place, mqlua_bundle *bundle,
                                     uint64_t generation, const mqlua_parcel *parcel, const atomic_bool *stop,
                                     char **error)
{
    mqlua_env proto = plugin->proto;
    proto.worker = place->worker;
    proto.worker_number = place->number;
    proto.first_worker = place->number == 1;
    proto.parcel = parcel;
    proto.stop = stop;
    mqlua_state *state = mqlua_state_new(&proto, bundle, generation, place->loop, MQLUA_LOADING, error);
    if (!state)
        return NULL;
    state->worker = place->number;
    if (mqlua_vm_setup(state->env.vm, reference_arguments, &state->env, error) ||
        !mqlua_state_call(state, MQLUA_CONTEXT_INITIALIZE, place->number, error)) {
        mqlua_state_free(state);
        return NULL;
    }
    mqlua_vm_set_stop(state->env.vm, NULL); /* the flag may be gone before the state */
    mqlua_vm_collect(state->env.vm);
    state->base = mqlua_vm_memory(state->env.vm);
    return state;
}

void mqlua_worker_free_state(mqlua_state *state)
{
    char *error = NULL;
    if (state && !mqlua_state_call(state, MQLUA_CONTEXT_CLEANUP, state->worker, &error))
        mqlua_report(&state->env, "context_cleanup failed", error ? error : "not enough memory");
    free(error);
    mqlua_state_free(state);
}

/* A state that was made anew goes on counting. */
static void begin_tally(mqlua_tally *tally, uint64_t generation)
{
    if (atomic_load_explicit(&tally->generation, memory_order_relaxed) == generation)
        return;
    atomic_store_explicit(&tally->generation, 0, memory_order_relaxed);
    for (int i = 0; i < 2; i++) {
        atomic_store_explicit(&tally->of[i].transactions, 0, memory_order_relaxed);
        atomic_store_explicit(&tally->of[i].failures, 0, memory_order_relaxed);
    }
    atomic_store_explicit(&tally->generation, generation, memory_order_release);
}

void mqlua_worker_serve(mqlua_worker *worker, mqlua_state *state)
{
    begin_tally(&worker->tallies[state->env.generation % MQLUA_GENERATIONS], state->env.generation);
    mqlua_rebuild_watch(worker, state);
    worker->state = state;
    worker->crowded = worker->starved = false;
    worker->generation = state->env.generation;
    mqlua_task_attach(state->env.vm, &worker->lanes);
    mqlua_state_serve(state);
    mqlua_worker_soon(worker); /* what the policy spawned while it loaded */
    mqlua_worker_update_wanted(worker);
}

/* ---- life ---- */

static void load_policy(mqlua_worker *worker)
{
    mqlua_plugin *plugin = worker->plugin;
    mqlua_place place = {worker, worker->loop, worker->number};
    char *error = NULL;
    pthread_mutex_lock(&plugin->lock);
    mqlua_bundle *bundle = plugin->bundle ? mqlua_bundle_ref(plugin->bundle) : NULL;
    worker->generation = atomic_load(&plugin->generation);
    pthread_mutex_unlock(&plugin->lock);
    if (!bundle)
        return;
    mqlua_state *state =
        mqlua_worker_make_state(plugin, &place, bundle, worker->generation, NULL, NULL, &error);
    mqlua_bundle_unref(bundle);
    if (state) {
        mqlua_worker_serve(worker, state);
    } else {
        mqlua_log(&plugin->symbols, MQLUA_LOG_CRIT,
                  "mailerq-lua: worker %d has no policy and %s:", worker->number,
                  plugin->settings->start_without_policy ? "lets mail pass, as the settings say"
                                                         : "answers connections with 421");
        mqlua_log_lines(&plugin->symbols, MQLUA_LOG_CRIT, error ? error : "not enough memory");
    }
    free(error);
}

static void enlist(mqlua_worker *worker)
{
    mqlua_plugin *plugin = worker->plugin;
    pthread_mutex_lock(&plugin->lock);
    worker->number = ++plugin->worker_count;
    plugin->worker_users++;
    LIST_INSERT_HEAD(&plugin->workers, worker, link);
    pthread_mutex_unlock(&plugin->lock);
}

/* What a worker that ends has counted is not lost for the judgement of its generations. Under the lock. */
static void add_tally(mqlua_tally *sum, const mqlua_tally *tally)
{
    if (tally->generation < sum->generation || !tally->generation)
        return;
    for (int i = 0; i < 2; i++) {
        if (tally->generation > sum->generation)
            sum->of[i].transactions = sum->of[i].failures = 0;
        sum->of[i].transactions += tally->of[i].transactions;
        sum->of[i].failures += tally->of[i].failures;
    }
    sum->generation = tally->generation;
}

/* From here on no other thread knows the worker: neither its loop nor what was prepared for it. */
static void delist(mqlua_worker *worker)
{
    mqlua_plugin *plugin = worker->plugin;
    pthread_mutex_lock(&plugin->lock);
    for (int i = 0; i < MQLUA_GENERATIONS; i++)
        add_tally(&plugin->departed[i], &worker->tallies[i]);
    LIST_REMOVE(worker, link);
    pthread_mutex_unlock(&plugin->lock);
}

/* True for exactly one caller: the last worker after mq_cleanup. */
static bool leave(mqlua_plugin *plugin)
{
    pthread_mutex_lock(&plugin->lock);
    bool alone = plugin->worker_users == 1;
    pthread_mutex_unlock(&plugin->lock);
    if (alone)
        mqlua_reload_stop(plugin);
    pthread_mutex_lock(&plugin->lock);
    bool all =
        --plugin->worker_users == 0 && plugin->cleaned; /* after this, somebody else may free the plugin */
    pthread_mutex_unlock(&plugin->lock);
    return all;
}

mqlua_worker *mqlua_worker_new(mqlua_plugin *plugin, MQ_Context *context)
{
    mqlua_worker *worker = calloc(1, sizeof *worker);
    if (worker)
        worker->loop = mqlua_loop_new(&plugin->symbols, context, plugin->read_flag, plugin->write_flag);
    if (!worker || !worker->loop) {
        mqlua_log(&plugin->symbols, MQLUA_LOG_CRIT,
                  "mailerq-lua: a worker cannot be set up: its mail passes "
                  "without policy");
        free(worker);
        return NULL;
    }
    worker->plugin = plugin;
    worker->context = context;
    TAILQ_INIT(&worker->held);
    mqlua_pauses_init(&worker->pauses, &plugin->symbols);
    mqlua_lanes_init(&worker->lanes, work_ready, lane_rests, worker);
    mqlua_loop_set_after(worker->loop, end_of_turn, worker);
    enlist(worker);
    load_policy(worker);
    mqlua_worker_update_wanted(worker);
    mqlua_reload_start(plugin);
    plugin->symbols.set_context_data(context, worker);
    return worker;
}

mqlua_worker *mqlua_worker_of(const mqlua_plugin *plugin, MQ_Context *context)
{
    return plugin->symbols.context_data(context);
}

bool mqlua_worker_free(mqlua_worker *worker)
{
    if (!worker)
        return false;
    mqlua_plugin *plugin = worker->plugin;
    delist(worker);
    /* No hand-backs from here on: the host is going down with whatever is paused. */
    while (!LIST_EMPTY(&worker->runs))
        mqlua_run_abandon(LIST_FIRST(&worker->runs));
    for (mqlua_peer *peer = mqlua_peers_next(&worker->peers, NULL), *next; peer; peer = next) {
        next = mqlua_peers_next(&worker->peers, peer);
        mqlua_peer_free(worker, peer);
    }
    mqlua_threads_detach(plugin->proto.threads, mqlua_loop_mailbox(worker->loop));
    mqlua_adopt_end(worker);
    mqlua_loop_free(worker->loop);
    mqlua_runs_free(worker);
    mqlua_peers_free(&worker->peers);
    for (mqlua_peer *peer; (peer = SLIST_FIRST(&worker->spare_peers));) {
        SLIST_REMOVE_HEAD(&worker->spare_peers, spare);
        free(peer);
    }
    plugin->symbols.set_context_data(worker->context, NULL);
    free(worker);
    return leave(plugin);
}
