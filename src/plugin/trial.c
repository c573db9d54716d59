/* SPDX-License-Identifier: MIT */

#include "plugin/trial.h"

/* A generation that fails only later (with the night's mail) is found within a window, not hidden by what
 * went well before. */
static const double WINDOW_SECONDS = 10;

static void add(mqlua_counts *sum, const mqlua_tally *tally, uint64_t generation)
{
    if (atomic_load_explicit(&tally->generation, memory_order_acquire) != generation)
        return;
    sum->failures += atomic_load_explicit(&tally->failures, memory_order_relaxed);
    sum->runs += atomic_load_explicit(&tally->runs, memory_order_relaxed);
}

static mqlua_counts count(mqlua_plugin *plugin, uint64_t generation)
{
    mqlua_counts sum = {0, 0};
    pthread_mutex_lock(&plugin->lock);
    add(&sum, &plugin->departed[generation % MQLUA_GENERATIONS], generation);
    for (mqlua_worker *worker = plugin->workers; worker; worker = worker->next)
        add(&sum, &worker->tallies[generation % MQLUA_GENERATIONS], generation);
    pthread_mutex_unlock(&plugin->lock);
    return sum;
}

void mqlua_trial_begin(mqlua_trial *t, mqlua_plugin *plugin, uint64_t generation, uint64_t before,
                       mqlua_bundle *previous)
{
    double now = mqlua_loop_now();
    mqlua_trial_end(t);
    *t = (mqlua_trial){.on = true,
                       .generation = generation,
                       .ends = now + plugin->settings->reload.trial,
                       .previous = previous ? mqlua_bundle_ref(previous) : NULL,
                       .window_ends = now + WINDOW_SECONDS};
    if (before)
        t->usual = count(plugin, before);
}

/* Far above what was usual: over the limit, and at least twice the share of failures of the generation
 * before. */
static bool too_many(const mqlua_trial *t, const mqlua_settings *settings, const mqlua_counts *c)
{
    double usual = t->usual.runs ? (double)t->usual.failures / (double)t->usual.runs : 0;
    double failures = (double)c->failures, runs = (double)c->runs;
    return c->failures >= (uint64_t)settings->reload.min_errors &&
           failures > settings->reload.error_rate * runs && failures > 2 * usual * runs;
}

mqlua_finding mqlua_trial_look(mqlua_trial *t, mqlua_plugin *plugin, mqlua_counts *counts)
{
    double now = mqlua_loop_now();
    if (!t->on)
        return MQLUA_TRIAL_ON;
    mqlua_counts all = count(plugin, t->generation);
    mqlua_counts window = {all.runs - t->base.runs, all.failures - t->base.failures};
    bool failed = too_many(t, plugin->settings, &window);
    *counts = failed ? window : all;
    if (failed || too_many(t, plugin->settings, &all))
        return MQLUA_TRIAL_FAILED;
    if (now >= t->window_ends) {
        t->window_ends = now + WINDOW_SECONDS;
        t->base = all;
    }
    return now >= t->ends && all.runs ? MQLUA_TRIAL_PASSED : MQLUA_TRIAL_ON;
}

void mqlua_trial_end(mqlua_trial *t)
{
    mqlua_bundle_unref(t->previous);
    t->previous = NULL;
    t->on = false;
}
