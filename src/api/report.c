/* SPDX-License-Identifier: MIT */

#include "api/report.h"
#include "api/logging.h"
#include "base/metrics.h"
#include <string.h>

/* A handler that fails on every event must not fill the disk: lines are limited, the counter is not. */

static void count(mqlua_env *env)
{
    static const mqlua_metric_spec spec = {.kind = MQLUA_COUNTER,
                                           .name = "mailerq_lua_script_errors",
                                           .help = "Failures of handlers, tasks and timers"};
    if (!env->errors && env->metrics) {
        mqlua_metric *metric = mqlua_metric_get(env->metrics, &spec, NULL);
        env->errors = metric ? mqlua_metric_series(metric, NULL, NULL) : NULL;
    }
    if (env->errors)
        mqlua_series_add(env->errors, 1);
}

void mqlua_report(mqlua_env *env, const char *what, const char *text)
{
    unsigned suppressed = 0;
    count(env);
    if (!mqlua_log_allow(&env->report_limit, mqlua_loop_now(), &suppressed))
        return;
    size_t line = strcspn(text, "\n");
    if (suppressed)
        mqlua_log(env->symbols, MQLUA_LOG_WARN, "mailerq-lua: %u more failures were not logged", suppressed);
    mqlua_log(env->symbols, MQLUA_LOG_WARN, "mailerq-lua: [generation %llu, %.8s] %s: %.*s",
              (unsigned long long)env->generation, mqlua_bundle_hash(env->bundle), what, (int)line, text);
    if (text[line])
        mqlua_log_lines(env->symbols, MQLUA_LOG_WARN, text + line + 1);
}
