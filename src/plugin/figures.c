/* SPDX-License-Identifier: MIT */

#include "plugin/figures.h"
#include <string.h>

static mqlua_series *series(mqlua_metrics *metrics, const mqlua_metric_spec *spec, const char *value)
{
    size_t size = value ? strlen(value) : 0;
    mqlua_metric *metric = mqlua_metric_get(metrics, spec, NULL);
    return metric ? mqlua_metric_series(metric, &value, &size) : NULL;
}

void mqlua_figures_init(mqlua_figures *f, mqlua_metrics *metrics)
{
    static const mqlua_metric_spec generation = {
        .kind = MQLUA_GAUGE, .name = "mailerq_lua_generation", .help = "The generation of the policy in use"};
    static const mqlua_metric_spec reloads = {.kind = MQLUA_COUNTER,
                                              .name = "mailerq_lua_reloads",
                                              .help = "Changes of the policy's files and what became of them",
                                              .labels = {"result"},
                                              .nlabels = 1};
    static const mqlua_metric_spec adoption = {.kind = MQLUA_HISTOGRAM,
                                               .name = "mailerq_lua_adoption_seconds",
                                               .help =
                                                   "How long a worker was busy with taking over a generation",
                                               .buckets = {1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 1e-1},
                                               .nbuckets = 8};
    f->generation = series(metrics, &generation, NULL);
    f->published = series(metrics, &reloads, "published");
    f->refused = series(metrics, &reloads, "refused");
    f->returned = series(metrics, &reloads, "rolled back");
    f->adoption = series(metrics, &adoption, NULL);
}

void mqlua_figures_count(mqlua_series *series)
{
    if (series)
        mqlua_series_add(series, 1);
}

void mqlua_figures_set(mqlua_series *series, double value)
{
    if (series)
        mqlua_series_set(series, value);
}

void mqlua_figures_observe(mqlua_series *series, double value)
{
    if (series)
        mqlua_series_observe(series, value);
}
