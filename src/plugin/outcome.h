/* SPDX-License-Identifier: MIT */
#pragma once

/* What comes of a handler: its verdict and its staged writes, or its failure. */

#include "plugin/run_internal.h"
#include "plugin/tally.h"

/* A handler of the run ended: its transaction counts, each time for the first one only. */
static inline void mqlua_outcome_count(mqlua_run *run, bool failed)
{
    uint8_t *counted = run->peer ? &run->peer->counted : &run->counted;
    if (!(*counted & (failed ? MQLUA_COUNTED_FAILED : MQLUA_COUNTED)))
        mqlua_tally_count(run->worker, run->state->env.generation, run->peer ? &run->peer->connection : NULL,
                          counted, failed);
}

/* The handler failed: the error is logged, what was staged is dropped, and its on_error is what comes next,
 * else the policy's for this event, else the safe default. */
void mqlua_outcome_fail(mqlua_run *run, const char *error);

/* The handler, which was task, ended without an error: its writes are stored, then its verdict counts. */
void mqlua_outcome_returned(mqlua_run *run, const mqlua_task *task, const mqlua_end *end);
