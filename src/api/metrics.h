/* SPDX-License-Identifier: MIT */
#pragma once

/* mq.counter, mq.gauge, mq.histogram, mq.metrics: the metrics of the process as Lua sees them. */

#include "base/metrics.h"
#include "mq/symbols.h"

#include <lua.h>

/* For mqlua_metrics_new: writes text to the application log. ud is a const mqlua_symbols, or NULL. Any
 * thread. */
void mqlua_metrics_warn(void *ud, const char *text);

/* One log line for each series: name{label="value"} value; of a histogram count and sum. */
void mqlua_metrics_log(mqlua_metrics *metrics, const mqlua_symbols *symbols);

/* Adds the functions to the table mq on top of the stack. May raise. */
void mqlua_metrics_open(lua_State *L);
