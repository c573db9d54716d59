/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Metrics of the process: counters, gauges and histograms with labels. They belong to the process, not to a
 * policy, so they go on counting through reloads. Any thread may use everything here; adding to a series that
 * exists takes no lock.
 *
 * The number of series of a metric is bounded: what comes on top is counted in one overflow series, whose
 * labels all have the value "other", and reported once.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct mqlua_metrics mqlua_metrics;
typedef struct mqlua_metric mqlua_metric;
typedef struct mqlua_series mqlua_series;

typedef enum mqlua_metric_kind { MQLUA_COUNTER, MQLUA_GAUGE, MQLUA_HISTOGRAM } mqlua_metric_kind;

enum {
    MQLUA_METRICS = 1000,         /* metrics of a generation, at most */
    MQLUA_METRICS_ALL = 10000,    /* in a process: those of generations that are gone make room */
    MQLUA_METRICS_TEXT = 4 << 20, /* bytes of a text; the rest is left out, which the text says */
    MQLUA_METRIC_LABELS = 8,      /* of a metric */
    MQLUA_METRIC_VALUE = 120,     /* bytes of a label's value; the rest is cut */
    MQLUA_METRIC_BUCKETS = 32,    /* of a histogram, +Inf not counted */
    MQLUA_METRIC_SERIES = 1000,   /* default of max_series */
    MQLUA_METRIC_SERIES_MAX = 100000,
};

/* What a metric is. Names as Prometheus has them. */
typedef struct mqlua_metric_spec {
    mqlua_metric_kind kind;
    const char *name;
    const char *help; /* NULL: none */
    const char *labels[MQLUA_METRIC_LABELS];
    size_t nlabels;
    size_t max_series;                    /* 0: MQLUA_METRIC_SERIES */
    double buckets[MQLUA_METRIC_BUCKETS]; /* growing upper bounds */
    size_t nbuckets;                      /* 0: from 1 ms to 10 s */
    uint64_t generation;                  /* that asks for it; 0: none of a policy's */
} mqlua_metric_spec;

/* Tells text, one line, to whoever operates the process. Any thread. */
typedef void (*mqlua_metrics_warner)(void *ud, const char *text);

/* A registry. warn (may be NULL) is told of overflows, with ud, which must outlive the registry. parent
 * (NULL: none) is a registry that outlives this one and with whose generation 0 definitions must agree: a
 * policy that is only checked gets a registry of its own, so that a definition it gets wrong does not stay
 * behind. NULL when memory is out. Owned by the caller. */
mqlua_metrics *mqlua_metrics_new(mqlua_metrics_warner warn, void *ud, mqlua_metrics *parent);

/* No thread may use the registry, its metrics or series any more. */
void mqlua_metrics_free(mqlua_metrics *metrics);

/* collect(ud, out, with_headers) is called at the begin of each text and writes metrics that are kept
 * elsewhere, with_headers: in the format of Prometheus with HELP and TYPE, else the lines with values only.
 * Any thread, without a lock. ud outlives the registry's use. Before other threads know the registry. */
void mqlua_metrics_set_collector(mqlua_metrics *metrics,
                                 void (*collect)(void *ud, FILE *out, bool with_headers), void *ud);

/* Metrics whose names begin so are collected: a policy cannot have one. */
#define MQLUA_METRICS_COLLECTED "mailerq_lua_shared_"

/* The metric of that name, made if there is none, for one more user. NULL with *error (malloc'ed) when the
 * name or a label is malformed, the name is taken by a metric of another kind, with other labels or buckets,
 * or there are too many. Taken is what the same generation defined, or generation 0: what an earlier
 * generation had, its users go on with, and it is shown no more. One that is full is replaced in the same
 * way. */
mqlua_metric *mqlua_metric_get(mqlua_metrics *metrics, const mqlua_metric_spec *spec, char **error);

/* One user less. A metric that nobody uses is kept, with its series, until there are more than MQLUA_METRICS:
 * then those of generations that are gone are forgotten, so that what one policy used up is there for the
 * next. */
void mqlua_metric_release(mqlua_metric *metric);

const mqlua_metric_spec *mqlua_metric_spec_of(const mqlua_metric *metric);

/* The series with these label values (nlabels of the metric), made if there is none; the overflow series when
 * there are too many or memory is out. Never NULL. Lives as long as the metric has a user. */
mqlua_series *mqlua_metric_series(mqlua_metric *metric, const char *const *values, const size_t *sizes);

/* Of a counter (amount must not be negative) or a gauge. */
void mqlua_series_add(mqlua_series *series, double amount);
/* Of a gauge. */
void mqlua_series_set(mqlua_series *series, double value);
/* Of a histogram; NaN is not counted. */
void mqlua_series_observe(mqlua_series *series, double value);
/* The value of a counter or gauge, the sum of a histogram. */
double mqlua_series_value(const mqlua_series *series);

/* All metrics in the text format of Prometheus (version 0.0.4), *size bytes and a NUL (size may be NULL).
 * malloc'ed, the caller frees; NULL when memory is out. */
char *mqlua_metrics_text(mqlua_metrics *metrics, size_t *size);

/* One line for each series: name{label="value"} value; of a histogram count and sum. malloc'ed, the caller
 * frees; NULL when memory is out. */
char *mqlua_metrics_short(mqlua_metrics *metrics);
