/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A new generation on trial: what its handlers do on mail decides whether it becomes the last-known-good one
 * or is rolled back. What counts are transactions: a transaction failed when one of its handlers did, once,
 * however many did. Before its first MAIL FROM a connection is a transaction, too, and so is each event of an
 * outgoing message. Incoming and outgoing mail are judged apart. Where several clients send, failures count
 * only when they stand for the clients as a whole: one client can have bad mail, or mean harm.
 */

#include "plugin/clients.h"
#include "plugin/plugin.h"
#include "plugin/tally.h"

typedef struct mqlua_trial {
    bool on;
    uint64_t generation;
    double ends;            /* monotonic seconds; longer when there was no mail */
    mqlua_bundle *previous; /* what to go back to; NULL: nothing */
    mqlua_counts usual[2];  /* of the generation before, by direction */
    mqlua_counts base[2];   /* when the window began */
    double window_ends;
    mqlua_client *list; /* malloc'ed: clients now, and behind them as they were when the window began */
    bool one_client;    /* too much failed, but not for the clients as a whole ... */
    bool told;          /* ... which was logged */
} mqlua_trial;

typedef enum mqlua_finding {
    MQLUA_TRIAL_ON,
    MQLUA_TRIAL_PASSED,
    MQLUA_TRIAL_FAILED,
} mqlua_finding;

/* On the thread that reloads: begins with generation, which replaced before (0: none). previous (NULL: none)
 * gets one more reference. */
void mqlua_trial_begin(mqlua_trial *trial, mqlua_plugin *plugin, uint64_t generation, uint64_t before,
                       mqlua_bundle *previous);

/* Looks at what happened until now; *counts is what the finding rests on. A trial that is not on finds
 * MQLUA_TRIAL_ON. */
mqlua_finding mqlua_trial_look(mqlua_trial *trial, mqlua_plugin *plugin, mqlua_counts *counts);

/* Ends it, decided or not. */
void mqlua_trial_end(mqlua_trial *trial, mqlua_plugin *plugin);
