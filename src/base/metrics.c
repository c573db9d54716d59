/* SPDX-License-Identifier: MIT */
#include "base/metrics_internal.h"
#include "base/error.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static const double default_buckets[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                         0.25,  0.5,    1,     2.5,  5,     10};

mqlua_metrics *mqlua_metrics_new(mqlua_metrics_warner warn, void *ud, mqlua_metrics *parent)
{
    mqlua_metrics *metrics = calloc(1, sizeof *metrics);
    if (!metrics || pthread_mutex_init(&metrics->lock, NULL) != 0) {
        free(metrics);
        return NULL;
    }
    metrics->warn = warn;
    metrics->ud = ud;
    metrics->parent = parent;
    return metrics;
}

static void free_series(mqlua_series *series)
{
    if (!series)
        return;
    for (size_t i = 0; i < MQLUA_METRIC_LABELS; i++)
        free(series->values[i]);
    free(series);
}

static void free_metric(mqlua_metric *metric)
{
    mqlua_series *series = atomic_load(&metric->first);
    while (series) {
        mqlua_series *next = atomic_load(&series->next_in_order);
        free_series(series);
        series = next;
    }
    free_series(metric->overflow);
    for (size_t i = 0; i < metric->spec.nlabels; i++)
        free((char *)(uintptr_t)metric->spec.labels[i]);
    free((char *)(uintptr_t)metric->spec.name);
    free((char *)(uintptr_t)metric->spec.help);
    free(metric->places);
    pthread_mutex_destroy(&metric->lock);
    free(metric);
}

void mqlua_metrics_free(mqlua_metrics *metrics)
{
    if (!metrics)
        return;
    while (metrics->first) {
        mqlua_metric *metric = metrics->first;
        metrics->first = metric->older ? metric->older : metric->next;
        if (metric->older)
            metric->older->next = metric->next;
        free_metric(metric);
    }
    pthread_mutex_destroy(&metrics->lock);
    free(metrics);
}

void mqlua_metrics_set_collector(mqlua_metrics *metrics,
                                 void (*collect)(void *ud, FILE *out, bool with_headers), void *ud)
{
    metrics->collect = collect;
    metrics->collect_ud = ud;
}

/* ---- definitions ---- */

static bool is_name(const char *text, bool colon)
{
    if (!*text || strlen(text) > 200)
        return false;
    for (const char *c = text; *c; c++) {
        bool letter =
            (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || *c == '_' || (colon && *c == ':');
        if (!letter && (c == text || *c < '0' || *c > '9'))
            return false;
    }
    return true;
}

static bool check_spec(const mqlua_metric_spec *spec, char **error)
{
    if (!is_name(spec->name, true)) {
        mqlua_error_set(error, "'%.100s' is not a name for a metric: letters, digits, _ and :", spec->name);
        return false;
    }
    if (strncmp(spec->name, MQLUA_METRICS_COLLECTED, strlen(MQLUA_METRICS_COLLECTED)) == 0) {
        mqlua_error_set(error, "'%.100s' is a name that mailerq-lua uses itself", spec->name);
        return false;
    }
    for (size_t i = 0; i < spec->nlabels; i++) {
        const char *label = spec->labels[i];
        if (!is_name(label, false) || strncmp(label, "__", 2) == 0 || strcmp(label, "le") == 0) {
            mqlua_error_set(
                error, "%s: '%.100s' is not a name for a label: letters, digits and _, not 'le' or '__...'",
                spec->name, label);
            return false;
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(label, spec->labels[j]) == 0) {
                mqlua_error_set(error, "%s: label '%s' twice", spec->name, label);
                return false;
            }
        }
    }
    for (size_t i = 0; i < spec->nbuckets; i++) {
        if (!isfinite(spec->buckets[i]) || (i && spec->buckets[i] <= spec->buckets[i - 1])) {
            mqlua_error_set(error, "%s: buckets must be numbers that grow", spec->name);
            return false;
        }
    }
    if (spec->max_series > MQLUA_METRIC_SERIES_MAX) {
        mqlua_error_set(error, "%s: max_series must be at most %d", spec->name, MQLUA_METRIC_SERIES_MAX);
        return false;
    }
    return true;
}

/* What old has that spec has not; NULL: they are the same metric. */
static const char *difference(const mqlua_metric_spec *old, const mqlua_metric_spec *spec)
{
    static const char *const kinds[] = {"is a counter", "is a gauge", "is a histogram"};
    if (old->kind != spec->kind)
        return kinds[old->kind];
    bool same = old->nlabels == spec->nlabels;
    for (size_t i = 0; same && i < spec->nlabels; i++)
        same = strcmp(old->labels[i], spec->labels[i]) == 0;
    if (!same)
        return "has other labels";
    if (old->nbuckets != spec->nbuckets ||
        memcmp(old->buckets, spec->buckets, spec->nbuckets * sizeof(double)))
        return "has other buckets";
    return NULL;
}

static bool agrees(const mqlua_metric_spec *old, const mqlua_metric_spec *spec, char **error)
{
    const char *what = difference(old, spec);
    if (what)
        mqlua_error_set(error, "%s %s already; choose another name", spec->name, what);
    return !what;
}

static mqlua_series *make_series(mqlua_metric *metric, const char *const *values, const size_t *sizes);

static mqlua_metric *make_metric(const mqlua_metric_spec *spec, const mqlua_metrics *metrics)
{
    static const char *const other[] = {"other", "other", "other", "other",
                                        "other", "other", "other", "other"};
    static const size_t sizes[] = {5, 5, 5, 5, 5, 5, 5, 5};
    mqlua_metric *metric = calloc(1, sizeof *metric);
    if (!metric || pthread_mutex_init(&metric->lock, NULL) != 0) {
        free(metric);
        return NULL;
    }
    metric->spec = *spec;
    metric->metrics = metrics;
    metric->mask = 1;
    while (metric->mask < spec->max_series)
        metric->mask *= 2;
    metric->places = calloc(metric->mask, sizeof *metric->places);
    metric->mask--;
    metric->last = &metric->first;
    metric->spec.name = strdup(spec->name);
    metric->spec.help = spec->help ? strdup(spec->help) : NULL;
    bool good = metric->places && metric->spec.name && (!spec->help || metric->spec.help);
    for (size_t i = 0; i < spec->nlabels; i++) {
        metric->spec.labels[i] = strdup(spec->labels[i]);
        good = good && metric->spec.labels[i];
    }
    metric->overflow = good ? make_series(metric, other, sizes) : NULL;
    if (metric->overflow)
        return metric;
    free_metric(metric);
    return NULL;
}

/* Where the newest metric of that name is, or the end of the list. */
static mqlua_metric **find_metric(mqlua_metrics *metrics, const char *name)
{
    mqlua_metric **place = &metrics->first;
    while (*place && strcmp((*place)->spec.name, name) != 0)
        place = &(*place)->next;
    return place;
}

/* Forgets the older ones of that name that nobody uses. */
static void forget_older(mqlua_metrics *metrics, mqlua_metric *metric)
{
    for (mqlua_metric **link = &metric->older; *link;) {
        mqlua_metric *older = *link;
        if (atomic_load(&older->users)) {
            link = &older->older;
            continue;
        }
        *link = older->older;
        metrics->count--;
        free_metric(older);
    }
}

/* Those of earlier generations. With the lock held. */
static void forget_unused(mqlua_metrics *metrics, uint64_t generation)
{
    mqlua_metric **link = &metrics->first;
    metrics->last = NULL;
    while (*link) {
        mqlua_metric *metric = *link;
        forget_older(metrics, metric);
        if (metric->older || metric->spec.generation == generation || atomic_load(&metric->users)) {
            metrics->last = metric;
            link = &metric->next;
            continue;
        }
        *link = metric->next;
        metrics->count--;
        free_metric(metric);
    }
}

/* Can the metric go on as what spec asks for? One that is full begins anew with the next generation: what
 * filled it may have been a mistake that this one repairs. */
static bool fits(const mqlua_metric *metric, const mqlua_metric_spec *spec)
{
    const mqlua_metric_spec *old = &metric->spec;
    return !difference(old, spec) && (old->generation == 0 || old->generation == spec->generation ||
                                      !atomic_load_explicit(&metric->overflowed, memory_order_relaxed));
}

/* Of those at place the one that fits, as the newest; NULL: there is none. */
static mqlua_metric *take_fitting(mqlua_metrics *metrics, mqlua_metric **place, const mqlua_metric_spec *spec)
{
    mqlua_metric *newest = *place, **link = place;
    while (*link && !fits(*link, spec))
        link = &(*link)->older;
    mqlua_metric *metric = *link;
    if (!metric || metric == newest)
        return metric;
    *link = metric->older;
    metric->older = newest;
    metric->next = newest->next;
    newest->next = NULL;
    *place = metric;
    if (metrics->last == newest)
        metrics->last = metric;
    return metric;
}

/* May another metric take the name? Those of generations that are gone, or go, do not stand in its way. */
static bool is_free(const mqlua_metric *metric, const mqlua_metric_spec *spec, char **error)
{
    for (; metric; metric = metric->older)
        if (metric->spec.generation == 0 ||
            (metric->spec.generation == spec->generation && atomic_load(&metric->users)))
            return agrees(&metric->spec, spec, error);
    return true;
}

static size_t count_of_generation(const mqlua_metrics *metrics, uint64_t generation)
{
    size_t count = 0;
    for (const mqlua_metric *metric = metrics->first; metric; metric = metric->next)
        count += metric->spec.generation == generation; /* older ones are of others */
    return count;
}

/* With the lock held. */
static mqlua_metric *get_locked(mqlua_metrics *metrics, const mqlua_metric_spec *spec, char **error)
{
    mqlua_metric **place = find_metric(metrics, spec->name), *metric = take_fitting(metrics, place, spec);
    if (metric && metric->spec.generation)
        metric->spec.generation = spec->generation;
    if (metric || !is_free(*place, spec, error))
        return metric;
    if (metrics->count >= MQLUA_METRICS)
        forget_unused(metrics, spec->generation);
    if (metrics->count >= MQLUA_METRICS_ALL ||
        count_of_generation(metrics, spec->generation) >= MQLUA_METRICS) {
        mqlua_error_set(error, "%s: more than %d metrics", spec->name, MQLUA_METRICS);
        return NULL;
    }
    metric = make_metric(spec, metrics);
    if (!metric) {
        mqlua_error_set(error, "%s: not enough memory", spec->name);
        return NULL;
    }
    place = find_metric(metrics, spec->name); /* what was there may have been forgotten */
    mqlua_metric *older = *place;
    if (older) {
        metric->next = older->next;
        older->next = NULL;
        metric->older = older;
        forget_older(metrics, metric);
    }
    *place = metric;
    if (!metric->next)
        metrics->last = metric;
    metrics->count++;
    return metric;
}

mqlua_metric *mqlua_metric_get(mqlua_metrics *metrics, const mqlua_metric_spec *wanted, char **error)
{
    mqlua_metric_spec spec = *wanted;
    if (!check_spec(&spec, error))
        return NULL;
    if (!spec.max_series)
        spec.max_series = MQLUA_METRIC_SERIES;
    if (spec.kind == MQLUA_HISTOGRAM && !spec.nbuckets) {
        spec.nbuckets = sizeof default_buckets / sizeof *default_buckets;
        memcpy(spec.buckets, default_buckets, sizeof default_buckets);
    }
    bool good = true;
    if (metrics->parent) {
        pthread_mutex_lock(&metrics->parent->lock);
        const mqlua_metric *above = *find_metric(metrics->parent, spec.name);
        good = !above || above->spec.generation || agrees(&above->spec, &spec, error);
        pthread_mutex_unlock(&metrics->parent->lock);
    }
    if (!good)
        return NULL;
    pthread_mutex_lock(&metrics->lock);
    mqlua_metric *metric = get_locked(metrics, &spec, error);
    if (metric)
        atomic_fetch_add(&metric->users, 1);
    pthread_mutex_unlock(&metrics->lock);
    return metric;
}

void mqlua_metric_release(mqlua_metric *metric)
{
    atomic_fetch_sub(&metric->users, 1);
}

const mqlua_metric_spec *mqlua_metric_spec_of(const mqlua_metric *metric)
{
    return &metric->spec;
}

/* ---- series ---- */

static size_t cut(size_t size)
{
    return size > MQLUA_METRIC_VALUE ? MQLUA_METRIC_VALUE : size;
}

static mqlua_series *make_series(mqlua_metric *metric, const char *const *values, const size_t *sizes)
{
    mqlua_series *series = calloc(1, sizeof *series + (metric->spec.nbuckets + 1) * sizeof *series->buckets);
    if (!series)
        return NULL;
    series->metric = metric;
    for (size_t i = 0; i < metric->spec.nlabels; i++) {
        series->sizes[i] = cut(sizes[i]);
        series->values[i] = malloc(series->sizes[i] + 1);
        if (!series->values[i]) {
            free_series(series);
            return NULL;
        }
        memcpy(series->values[i], values[i], series->sizes[i]);
        series->values[i][series->sizes[i]] = 0;
    }
    return series;
}

static bool is_series(const mqlua_series *series, const char *const *values, const size_t *sizes,
                      size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (series->sizes[i] != cut(sizes[i]) || memcmp(series->values[i], values[i], series->sizes[i]) != 0)
            return false;
    return true;
}

/* Series are only ever added, and a chain is published by its head: reading it needs no lock. */
static mqlua_series *find_series(_Atomic(mqlua_series *) *place, const char *const *values,
                                 const size_t *sizes, size_t count)
{
    mqlua_series *series = atomic_load_explicit(place, memory_order_acquire);
    while (series && !is_series(series, values, sizes, count))
        series = series->next;
    return series;
}

static void tell_overflow(const mqlua_metric *metric)
{
    char text[256 + 64];
    snprintf(text, sizeof text,
             "metric %.200s has %zu series, its max_series; further ones are counted together as \"other\"",
             metric->spec.name, metric->spec.max_series);
    if (metric->metrics->warn)
        metric->metrics->warn(metric->metrics->ud, text);
}

static mqlua_series *add_series(mqlua_metric *metric, _Atomic(mqlua_series *) *place,
                                const char *const *values, const size_t *sizes)
{
    bool warn = false;
    pthread_mutex_lock(&metric->lock);
    mqlua_series *series = find_series(place, values, sizes, metric->spec.nlabels);
    if (!series && metric->count < metric->spec.max_series)
        series = make_series(metric, values, sizes);
    else if (!series) {
        warn = !metric->warned;
        metric->warned = true;
    }
    if (series && !series->listed) {
        series->listed = true;
        series->next = atomic_load_explicit(place, memory_order_relaxed);
        atomic_store_explicit(place, series, memory_order_release);
        atomic_store_explicit(metric->last, series, memory_order_release);
        metric->last = &series->next_in_order;
        metric->count++;
    }
    pthread_mutex_unlock(&metric->lock);
    if (warn)
        tell_overflow(metric);
    return series;
}

mqlua_series *mqlua_metric_series(mqlua_metric *metric, const char *const *values, const size_t *sizes)
{
    XXH64_hash_t hash = 0;
    for (size_t i = 0; i < metric->spec.nlabels; i++)
        hash = XXH3_64bits_withSeed(values[i], cut(sizes[i]), hash + i + 1);
    _Atomic(mqlua_series *) *place = &metric->places[hash & metric->mask];
    mqlua_series *series = find_series(place, values, sizes, metric->spec.nlabels);
    if (!series)
        series = add_series(metric, place, values, sizes);
    if (series)
        return series;
    atomic_store_explicit(&metric->overflowed, true, memory_order_relaxed);
    return metric->overflow;
}

void mqlua_series_add(mqlua_series *series, double amount)
{
    double old = atomic_load_explicit(&series->value, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&series->value, &old, old + amount, memory_order_relaxed,
                                                  memory_order_relaxed)) {
        /* old is what another thread made of it */
    }
}

void mqlua_series_set(mqlua_series *series, double value)
{
    atomic_store_explicit(&series->value, value, memory_order_relaxed);
}

void mqlua_series_observe(mqlua_series *series, double value)
{
    const mqlua_metric_spec *spec = &series->metric->spec;
    size_t bucket = 0;
    if (isnan(value))
        return;
    while (bucket < spec->nbuckets && value > spec->buckets[bucket])
        bucket++;
    atomic_fetch_add_explicit(&series->buckets[bucket], 1, memory_order_relaxed);
    mqlua_series_add(series, value);
}

double mqlua_series_value(const mqlua_series *series)
{
    return atomic_load_explicit(&series->value, memory_order_relaxed);
}
