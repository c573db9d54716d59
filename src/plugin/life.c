/* SPDX-License-Identifier: MIT */

#include "plugin/life.h"
#include "base/threads.h"
#include "plugin/adopt.h"
#include "plugin/peer.h"
#include "plugin/reload.h"
#include "plugin/run.h"
#include "plugin/states.h"
#include "plugin/tally.h"
#include "plugin/turn.h"
#include <stdlib.h>

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
    mqlua_state *state = mqlua_states_make(plugin, &place, bundle, worker->generation, NULL, NULL, &error);
    mqlua_bundle_unref(bundle);
    if (state) {
        mqlua_states_serve(worker, state);
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

/* From here on no other thread knows the worker: neither its loop nor what was prepared for it. */
static void delist(mqlua_worker *worker)
{
    mqlua_plugin *plugin = worker->plugin;
    pthread_mutex_lock(&plugin->lock);
    for (int i = 0; i < MQLUA_GENERATIONS; i++)
        mqlua_tally_depart(&plugin->departed[i], &worker->tallies[i]);
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
        mqlua_reload_stop(plugin, mqlua_loop_now() + MQLUA_END_SECONDS / 2);
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
    mqlua_turn_open(worker);
    enlist(worker);
    load_policy(worker);
    mqlua_worker_update_wanted(worker);
    mqlua_reload_start(plugin);
    plugin->symbols.set_context_data(context, worker);
    return worker;
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
