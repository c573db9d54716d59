/* SPDX-License-Identifier: MIT */

#include "plugin/trial.h"
#include <stdlib.h>

/* A generation that fails only later (with the night's mail) is found within a window, not hidden by what
 * went well before. */
static const double WINDOW_SECONDS = 10;

/* Where there are several clients, so many transactions of others than the one that failed most must have
 * failed, too: one may have had bad luck. */
enum { OTHERS_FAILED = 2 };

/* ---- judging ---- */

/* Without memory for the copies, clients cannot be told apart, and the trial decides nothing. */
void mqlua_trial_begin(mqlua_trial *t, mqlua_plugin *plugin, uint64_t generation, uint64_t before,
                       mqlua_bundle *previous)
{
    double now = mqlua_loop_now();
    mqlua_trial_end(t, plugin);
    *t = (mqlua_trial){.on = true,
                       .generation = generation,
                       .ends = now + plugin->settings->reload.trial,
                       .previous = previous ? mqlua_bundle_ref(previous) : NULL,
                       .window_ends = now + WINDOW_SECONDS,
                       .list = calloc(2 * MQLUA_CLIENTS, sizeof *t->list)};
    if (before)
        mqlua_tally_sum(plugin, before, t->usual);
    mqlua_clients_watch(plugin->clients, generation);
}

static bool above(uint64_t failures, uint64_t transactions, double share)
{
    return (double)failures > share * (double)transactions;
}

/* Far above what was usual: over the limit, and at least twice the share of failures of the generation
 * before. */
static double limit_of(const mqlua_settings *settings, const mqlua_counts *usual)
{
    double share = usual->transactions ? 2 * (double)usual->failures / (double)usual->transactions : 0;
    return share > settings->reload.error_rate ? share : settings->reload.error_rate;
}

static bool too_many(const mqlua_trial *t, const mqlua_settings *settings, int direction,
                     const mqlua_counts *c)
{
    return c->failures >= (uint64_t)settings->reload.min_errors &&
           above(c->failures, c->transactions, limit_of(settings, &t->usual[direction]));
}

/* Do the failures stand for the clients as a whole? base NULL: since the trial began. */
static bool is_general(mqlua_trial *t, mqlua_plugin *plugin, const mqlua_client *base)
{
    if (!t->list)
        return false;
    mqlua_clients_copy(plugin->clients, t->list);
    mqlua_fate fate = mqlua_clients_fate(t->list, base, t->generation, mqlua_loop_now());
    double limit = limit_of(plugin->settings, &t->usual[MQLUA_TALLY_IN]);
    bool general =
        !fate.several || (fate.failing > 1 && above(fate.failing, fate.clients, limit) &&
                          fate.failures >= OTHERS_FAILED && above(fate.failures, fate.transactions, limit));
    t->one_client |= !general;
    return general;
}

static bool failed(mqlua_trial *t, mqlua_plugin *plugin, const mqlua_counts counts[2],
                   const mqlua_client *base, mqlua_counts *found)
{
    for (int i = 0; i < 2; i++) {
        *found = counts[i];
        if (too_many(t, plugin->settings, i, found) && (i == MQLUA_TALLY_OUT || is_general(t, plugin, base)))
            return true;
    }
    *found = (mqlua_counts){counts[0].transactions + counts[1].transactions,
                            counts[0].failures + counts[1].failures};
    return false;
}

static void begin_window(mqlua_trial *t, mqlua_plugin *plugin, const mqlua_counts all[2], double now)
{
    t->window_ends = now + WINDOW_SECONDS;
    t->base[0] = all[0];
    t->base[1] = all[1];
    if (t->list)
        mqlua_clients_copy(plugin->clients, t->list + MQLUA_CLIENTS);
}

mqlua_finding mqlua_trial_look(mqlua_trial *t, mqlua_plugin *plugin, mqlua_counts *counts)
{
    double now = mqlua_loop_now();
    mqlua_counts all[2], window[2];
    if (!t->on)
        return MQLUA_TRIAL_ON;
    mqlua_tally_sum(plugin, t->generation, all);
    for (int i = 0; i < 2; i++)
        window[i] = (mqlua_counts){all[i].transactions - t->base[i].transactions,
                                   all[i].failures - t->base[i].failures};
    const mqlua_client *base = t->list ? t->list + MQLUA_CLIENTS : NULL;
    if (failed(t, plugin, window, base, counts) || failed(t, plugin, all, NULL, counts))
        return MQLUA_TRIAL_FAILED;
    if (now >= t->window_ends)
        begin_window(t, plugin, all, now);
    return now >= t->ends && counts->transactions ? MQLUA_TRIAL_PASSED : MQLUA_TRIAL_ON;
}

void mqlua_trial_end(mqlua_trial *t, mqlua_plugin *plugin)
{
    if (t->on)
        mqlua_clients_watch(plugin->clients, 0);
    mqlua_bundle_unref(t->previous);
    free(t->list);
    t->list = NULL;
    t->previous = NULL;
    t->on = false;
}
