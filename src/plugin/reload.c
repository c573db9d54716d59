/* SPDX-License-Identifier: MIT */

#include "plugin/reload.h"
#include "base/threads.h"
#include "plugin/build.h"
#include "plugin/keep.h"
#include "plugin/states.h"
#include "plugin/trial.h"
#include "policy/refused.h"
#include "policy/watcher.h"
#include <stdlib.h>
#include <string.h>

static const double LOOK_SECONDS = 0.5; /* between two looks at a generation on trial */
static const double IDLE_SECONDS = 3600;

struct mqlua_reload {
    mqlua_plugin *plugin;
    pthread_t thread;
    atomic_bool stop;
    mqlua_watcher *watcher;
    mqlua_trial trial;
    mqlua_bundle *good; /* the last that passed its trial; NULL: none yet */
    bool refused_last;  /* the newest files are not what runs */
};

#define NUMBER(generation) ((unsigned long long)(generation))

static const mqlua_symbols *log_of(const mqlua_reload *r)
{
    return &r->plugin->symbols;
}

/* ---- one reload ---- */

/* One line: file, line, reason, and what goes on. mqlua check shows the whole error. */
static void refuse(mqlua_reload *r, const char *error)
{
    mqlua_plugin *plugin = r->plugin;
    int size = (int)strcspn(error, "\n");
    r->refused_last = true;
    mqlua_figures_count(plugin->figures.refused);
    if (plugin->bundle)
        mqlua_log(log_of(r), MQLUA_LOG_CRIT,
                  "mailerq-lua: reload refused, generation %llu, %.8s goes on: %.*s",
                  NUMBER(plugin->generation), mqlua_bundle_hash(plugin->bundle), size, error);
    else
        mqlua_log(log_of(r), MQLUA_LOG_CRIT, "mailerq-lua: reload refused, there is still no policy: %.*s",
                  size, error);
}

/* Makes bundle the next generation on all workers. False, and nothing has changed, with *error. */
static bool publish(mqlua_reload *r, mqlua_bundle *bundle, mqlua_bundle *fallback, char **error)
{
    mqlua_plugin *plugin = r->plugin;
    uint64_t before = plugin->generation, next = before + 1;
    double begun = mqlua_loop_now();
    int states = mqlua_build_all(plugin, bundle, next, &r->stop, error);
    if (states < 0)
        return false;
    mqlua_log(log_of(r), MQLUA_LOG_INFO,
              "mailerq-lua: generation %llu, %.8s: policy %s, %d states made in %.0f ms", NUMBER(next),
              mqlua_bundle_hash(bundle), plugin->settings->policy, states, (mqlua_loop_now() - begun) * 1000);
    mqlua_figures_set(plugin->figures.generation, (double)next);
    mqlua_trial_begin(&r->trial, plugin, next, before, fallback);
    return true;
}

static void reload(mqlua_reload *r)
{
    mqlua_plugin *plugin = r->plugin;
    mqlua_bundle *seen = NULL, *current = plugin->bundle ? mqlua_bundle_ref(plugin->bundle) : NULL;
    char *error = NULL;
    mqlua_bundle *bundle = mqlua_keep_check(plugin, &r->stop, &seen, &error);
    mqlua_watcher_follow(r->watcher, seen);
    mqlua_bundle_unref(seen);
    bool same = bundle && current && strcmp(mqlua_bundle_hash(bundle), mqlua_bundle_hash(current)) == 0;
    if (atomic_load(&r->stop)) {
        /* whatever failed did so because of that */
    } else if (same) {
        if (r->refused_last)
            mqlua_log(log_of(r), MQLUA_LOG_INFO,
                      "mailerq-lua: the policy's files are again what generation %llu, %.8s runs",
                      NUMBER(plugin->generation), mqlua_bundle_hash(current));
        r->refused_last = false;
    } else if (bundle && mqlua_refused_has(plugin->refused, mqlua_bundle_hash(bundle))) {
        refuse(r, "these files were rolled back before, because their handlers failed on mail; change them");
    } else if (!bundle || !publish(r, bundle, current, &error)) {
        refuse(r, error ? error : "not enough memory");
    } else {
        mqlua_figures_count(plugin->figures.published);
        r->refused_last = false;
    }
    mqlua_bundle_unref(current);
    mqlua_bundle_unref(bundle);
    free(error);
}

static void tell_busy(mqlua_reload *r)
{
    const char *file = mqlua_watcher_writing(r->watcher);
    if (file)
        mqlua_log(log_of(r), MQLUA_LOG_WARN,
                  "mailerq-lua: the policy changed, but %s is open for writing: it is read when "
                  "it is closed",
                  file);
    else
        mqlua_log(log_of(r), MQLUA_LOG_WARN,
                  "mailerq-lua: the policy changed, and keeps changing: it is read when it comes "
                  "to rest");
}

/* ---- afterwards ---- */

/* A worker had to make its state anew for lack of memory. */
static bool is_exhausted(const mqlua_plugin *plugin)
{
    return atomic_load(&plugin->exhausted) == plugin->generation;
}

static void pass(mqlua_reload *r)
{
    mqlua_plugin *plugin = r->plugin;
    mqlua_trial_end(&r->trial, r->plugin);
    if (is_exhausted(plugin)) {
        mqlua_log(log_of(r), MQLUA_LOG_WARN,
                  "mailerq-lua: generation %llu, %.8s does not become the last-known-good policy: its memory "
                  "reached the cap",
                  NUMBER(plugin->generation), mqlua_bundle_hash(plugin->bundle));
        return;
    }
    mqlua_bundle_unref(r->good);
    r->good = mqlua_bundle_ref(plugin->bundle);
    if (mqlua_keep_store(plugin, plugin->bundle))
        mqlua_log(log_of(r), MQLUA_LOG_INFO,
                  "mailerq-lua: generation %llu, %.8s is the last-known-good policy now",
                  NUMBER(plugin->generation), mqlua_bundle_hash(plugin->bundle));
}

/* Not the same content once more, also after a restart. */
static void remember_refused(mqlua_reload *r, const char *hash)
{
    char *error = NULL;
    if (!r->plugin->refused || mqlua_refused_add(r->plugin->refused, hash, &error))
        return;
    mqlua_log(log_of(r), MQLUA_LOG_WARN,
              "mailerq-lua: that %.8s is refused cannot be kept for the next start: %s", hash,
              error ? error : "not enough memory");
    free(error);
}

static void roll_back(mqlua_reload *r, const mqlua_counts *counts)
{
    mqlua_plugin *plugin = r->plugin;
    mqlua_bundle *previous = r->trial.previous;
    char *error = NULL;
    mqlua_log(
        log_of(r), MQLUA_LOG_CRIT, "mailerq-lua: generation %llu, %.8s: %llu of %llu transactions failed%s",
        NUMBER(plugin->generation), mqlua_bundle_hash(plugin->bundle), NUMBER(counts->failures),
        NUMBER(counts->transactions), previous ? ": ROLLED BACK, and refused until the files change" : "");
    if (!previous) { /* nothing to go back to, so it goes on; it is not kept as a good one */
        mqlua_trial_end(&r->trial, r->plugin);
        return;
    }
    mqlua_figures_count(plugin->figures.returned);
    mqlua_bundle_ref(previous);
    remember_refused(r, mqlua_bundle_hash(plugin->bundle));
    r->refused_last = true;
    bool other = r->good && strcmp(mqlua_bundle_hash(r->good), mqlua_bundle_hash(previous)) != 0;
    if (!publish(r, previous, other ? r->good : NULL, &error)) {
        mqlua_trial_end(&r->trial, r->plugin);
        mqlua_log(log_of(r), MQLUA_LOG_CRIT,
                  "mailerq-lua: the policy before does not load any more, generation %llu goes "
                  "on: %s",
                  NUMBER(plugin->generation), error ? error : "not enough memory");
    }
    mqlua_bundle_unref(previous);
    free(error);
}

static void tell_one_client(mqlua_reload *r)
{
    if (!r->trial.one_client || r->trial.told)
        return;
    r->trial.told = true;
    mqlua_log(log_of(r), MQLUA_LOG_WARN,
              "mailerq-lua: generation %llu, %.8s fails on the transactions of few clients only: it goes on, "
              "because one client among several is no reason to roll back",
              NUMBER(r->plugin->generation), mqlua_bundle_hash(r->plugin->bundle));
}

static void look_at_trial(mqlua_reload *r)
{
    mqlua_counts counts;
    switch (mqlua_trial_look(&r->trial, r->plugin, &counts)) {
    case MQLUA_TRIAL_PASSED:
        pass(r);
        break;
    case MQLUA_TRIAL_FAILED:
        roll_back(r, &counts);
        break;
    default:
        tell_one_client(r);
        break;
    }
}

/* ---- the thread ---- */

/* Where nothing is known to be good yet, what was checked and runs is better than nothing. */
static void begin(mqlua_reload *r)
{
    mqlua_plugin *plugin = r->plugin;
    if (plugin->settings->reload.watch)
        mqlua_watcher_follow(r->watcher, plugin->seen);
    if (!plugin->bundle)
        return;
    if (!plugin->restored && !mqlua_keep_exists(plugin))
        mqlua_keep_store(plugin, plugin->bundle);
    r->refused_last = plugin->restored;
    if (plugin->restored)
        r->good = mqlua_bundle_ref(plugin->bundle);
    else
        mqlua_trial_begin(&r->trial, plugin, plugin->generation, 0, NULL);
}

static void *run_thread(void *argument)
{
    mqlua_reload *r = argument;
    begin(r);
    while (!atomic_load(&r->stop)) {
        mqlua_watched what = mqlua_watcher_wait(r->watcher, r->trial.on ? LOOK_SECONDS : IDLE_SECONDS);
        if (what == MQLUA_WATCHED_CHANGE && !atomic_load(&r->stop))
            reload(r);
        else if (what == MQLUA_WATCHED_BUSY)
            tell_busy(r);
        mqlua_states_free_disposed(r->plugin);
        look_at_trial(r);
    }
    return NULL;
}

static mqlua_reload *reload_new(mqlua_plugin *plugin)
{
    mqlua_reload *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->plugin = plugin;
    atomic_init(&r->stop, false);
    r->watcher = mqlua_watcher_new(plugin->settings->policy, plugin->settings->reload.quiet,
                                   plugin->settings->reload.watch ? plugin->settings->reload.poll : 0);
    if (r->watcher)
        return r;
    free(r);
    return NULL;
}

static void reload_free(mqlua_reload *r)
{
    if (!r)
        return;
    mqlua_states_free_disposed(r->plugin);
    mqlua_trial_end(&r->trial, r->plugin);
    mqlua_bundle_unref(r->good);
    mqlua_watcher_free(r->watcher);
    free(r);
}

void mqlua_reload_start(mqlua_plugin *plugin)
{
    pthread_mutex_lock(&plugin->lock);
    bool wanted = !plugin->reload && !plugin->cleaned;
    if (wanted) {
        mqlua_reload *r = reload_new(plugin);
        plugin->reload = r;
        plugin->watcher = r ? r->watcher : NULL;
        if (r && !mqlua_threads_create(&r->thread, "mqlua-reload", 0, run_thread, r)) {
            plugin->reload = NULL;
            plugin->watcher = NULL;
            wanted = false;
        }
        if (!plugin->reload) {
            mqlua_log(&plugin->symbols, MQLUA_LOG_WARN,
                      "mailerq-lua: there is no thread to watch the policy: it is not "
                      "reloaded before the next start");
            if (r) {
                mqlua_trial_end(&r->trial, r->plugin);
                mqlua_watcher_free(r->watcher);
                free(r);
            }
        }
    }
    pthread_mutex_unlock(&plugin->lock);
}

/* It served until the end without trouble. */
static void keep_at_end(mqlua_reload *r)
{
    mqlua_counts counts = {0};
    if (r->trial.on && mqlua_trial_look(&r->trial, r->plugin, &counts) != MQLUA_TRIAL_FAILED &&
        counts.transactions && !is_exhausted(r->plugin))
        mqlua_keep_store(r->plugin, r->plugin->bundle);
}

static void end_thread(void *ud)
{
    mqlua_reload *r = ud;
    pthread_join(r->thread, NULL);
    keep_at_end(r);
    reload_free(r);
}

void mqlua_reload_stop(mqlua_plugin *plugin, double until)
{
    pthread_mutex_lock(&plugin->lock);
    mqlua_reload *r = plugin->reload;
    plugin->reload = NULL;
    plugin->watcher = NULL;
    pthread_mutex_unlock(&plugin->lock);
    if (!r)
        return;
    atomic_store(&r->stop, true);
    mqlua_watcher_wake(r->watcher);
    mqlua_plugin_end_part(plugin, "reading or checking the policy", end_thread, r, until);
}
