/* SPDX-License-Identifier: MIT */

#include "plugin/tally.h"
#include "plugin/clients.h"

void mqlua_tally_count(mqlua_worker *worker, uint64_t generation, mqlua_connection *client, uint8_t *counted,
                       bool failed)
{
    bool began = !(*counted & MQLUA_COUNTED);
    *counted |= failed ? MQLUA_COUNTED | MQLUA_COUNTED_FAILED : MQLUA_COUNTED;
    mqlua_tally *tally = &worker->tallies[generation % MQLUA_GENERATIONS];
    if (atomic_load_explicit(&tally->generation, memory_order_relaxed) == generation) {
        mqlua_tally_counts *counts = &tally->of[client ? MQLUA_TALLY_IN : MQLUA_TALLY_OUT];
        if (began)
            atomic_fetch_add_explicit(&counts->transactions, 1, memory_order_relaxed);
        if (failed)
            atomic_fetch_add_explicit(&counts->failures, 1, memory_order_relaxed);
    }
    mqlua_clients *clients = worker->plugin->clients;
    if (client && atomic_load_explicit(&clients->generation, memory_order_relaxed) == generation)
        mqlua_clients_note(clients, generation, mqlua_connection_client(client), began, failed);
}

void mqlua_tally_begin(mqlua_tally *tally, uint64_t generation)
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

void mqlua_tally_depart(mqlua_tally *sum, const mqlua_tally *tally)
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

static void add(mqlua_counts sum[2], const mqlua_tally *tally, uint64_t generation)
{
    if (atomic_load_explicit(&tally->generation, memory_order_acquire) != generation)
        return;
    for (int i = 0; i < 2; i++) {
        sum[i].failures += atomic_load_explicit(&tally->of[i].failures, memory_order_relaxed);
        sum[i].transactions += atomic_load_explicit(&tally->of[i].transactions, memory_order_relaxed);
    }
}

void mqlua_tally_sum(mqlua_plugin *plugin, uint64_t generation, mqlua_counts sum[2])
{
    sum[0] = sum[1] = (mqlua_counts){0};
    pthread_mutex_lock(&plugin->lock);
    add(sum, &plugin->departed[generation % MQLUA_GENERATIONS], generation);
    mqlua_worker *worker;
    LIST_FOREACH(worker, &plugin->workers, link)
    {
        add(sum, &worker->tallies[generation % MQLUA_GENERATIONS], generation);
    }
    pthread_mutex_unlock(&plugin->lock);
}
