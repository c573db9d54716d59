/* SPDX-License-Identifier: MIT */
#pragma once

/* A new generation on trial: what its handlers do on mail decides whether it becomes the last-known-good one
 * or is rolled back. All on the thread that reloads. */

#include "plugin/worker.h"

typedef struct mqlua_counts {
    uint64_t runs, failures; /* of handlers */
} mqlua_counts;

typedef struct mqlua_trial {
    bool on;
    uint64_t generation;
    double ends;            /* monotonic seconds; longer when there was no mail */
    mqlua_bundle *previous; /* what to go back to; NULL: nothing */
    mqlua_counts usual;     /* of the generation before */
    mqlua_counts base;      /* when the window began */
    double window_ends;
} mqlua_trial;

typedef enum mqlua_finding {
    MQLUA_TRIAL_ON,
    MQLUA_TRIAL_PASSED,
    MQLUA_TRIAL_FAILED,
} mqlua_finding;

/* Begins with generation, which replaced before (0: none). previous (NULL: none) gets one more reference. */
void mqlua_trial_begin(mqlua_trial *trial, mqlua_plugin *plugin, uint64_t generation, uint64_t before,
                       mqlua_bundle *previous);

/* Looks at what happened until now; *counts is what the finding rests on. A trial that is not on finds
 * MQLUA_TRIAL_ON. */
mqlua_finding mqlua_trial_look(mqlua_trial *trial, mqlua_plugin *plugin, mqlua_counts *counts);

/* Ends it, decided or not. */
void mqlua_trial_end(mqlua_trial *trial);
