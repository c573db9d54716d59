/* SPDX-License-Identifier: MIT */
#pragma once

/* What metrics.c and metrics_text.c share. */

#include "base/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct mqlua_series {
    mqlua_metric *metric;
    mqlua_series *next; /* in the same place of the hash table */
    _Atomic(mqlua_series *) next_in_order;
    bool listed;
    char *values[MQLUA_METRIC_LABELS];
    size_t sizes[MQLUA_METRIC_LABELS];
    _Atomic double value;       /* of a histogram the sum */
    _Atomic uint64_t buckets[]; /* the last one: +Inf; not cumulative */
};

struct mqlua_metric {
    mqlua_metric_spec spec; /* texts are ours */
    mqlua_metric *next;
    mqlua_metric *older; /* of the same name, as an earlier generation had it; not in the list itself */
    const mqlua_metrics *metrics; /* that it belongs to */
    atomic_size_t users;
    _Atomic(mqlua_series *) *places;
    size_t mask;
    _Atomic(mqlua_series *) first; /* in the order of their making */
    _Atomic bool overflowed;
    mqlua_series *overflow; /* shown once it was used */
    pthread_mutex_t lock;   /* guards adding: last, count, warned */
    _Atomic(mqlua_series *) *last;
    size_t count;
    bool warned;
};

struct mqlua_metrics {
    pthread_mutex_t lock; /* guards the list of metrics */
    mqlua_metric *first, *last;
    size_t count;
    mqlua_metrics_warner warn; /* NULL: nobody wants to know */
    void *ud;
    mqlua_metrics *parent;
    void (*collect)(void *ud, FILE *out, bool with_headers); /* NULL: there is nothing else */
    void *collect_ud;
};
