/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/metrics.h"

/* What the plugin counts about itself, among the metrics of the policies. Series are NULL when there was no
 * memory: then nothing is counted. */
typedef struct mqlua_figures {
    mqlua_series *generation;                     /* mailerq_lua_generation: the current number */
    mqlua_series *published, *refused, *returned; /* mailerq_lua_reloads{result=}: returned is a roll-back */
    mqlua_series *adoption; /* mailerq_lua_adoption_seconds: how long a worker was away for it */
} mqlua_figures;

void mqlua_figures_init(mqlua_figures *figures, mqlua_metrics *metrics);

/* Any thread; series may be NULL. */
void mqlua_figures_count(mqlua_series *series);
void mqlua_figures_set(mqlua_series *series, double value);
void mqlua_figures_observe(mqlua_series *series, double value);
