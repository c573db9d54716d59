/* SPDX-License-Identifier: MIT */
#pragma once

/* What came of transactions, counted by each worker and added up by the thread that reloads. What is a
 * transaction, and when it failed, says plugin/trial.h. */

#include "plugin/worker.h"

typedef struct mqlua_counts {
    uint64_t transactions, failures;
} mqlua_counts;

/* What a transaction was counted as. */
enum { MQLUA_COUNTED = 1, MQLUA_COUNTED_FAILED = 2 };

/* A handler of a transaction of generation ended: it counts, and, when it failed, as one that failed. Each
 * once: *counted notes it. client NULL: an outgoing one. Thread: the worker's. */
void mqlua_tally_count(mqlua_worker *worker, uint64_t generation, mqlua_connection *client, uint8_t *counted,
                       bool failed);

/* A state of generation begins to serve. One that was made anew goes on counting. Thread: the worker's. */
void mqlua_tally_begin(mqlua_tally *tally, uint64_t generation);

/* What a worker that ends has counted is not lost for the judgement of its generations. Under the plugin's
 * lock. */
void mqlua_tally_depart(mqlua_tally *sum, const mqlua_tally *tally);

/* The transactions of generation on all workers, by direction. Any thread, without the plugin's lock. */
void mqlua_tally_sum(mqlua_plugin *plugin, uint64_t generation, mqlua_counts sum[2]);
