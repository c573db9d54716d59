/* SPDX-License-Identifier: MIT */
#pragma once

/* How repeated lines of the log are kept few. */

#include <stdbool.h>

/* How often one kind of line was written. Zeroed memory is a fresh one; it belongs to one thread. */
typedef struct mqlua_log_limit {
    double tokens, last;
    unsigned suppressed;
    bool used;
} mqlua_log_limit;

/* May one more line of this kind be written? At most ten at once and ten per second; now is monotonic, in
 * seconds. When true, *suppressed is how many were not written since the last one that was. Never fails. */
bool mqlua_log_allow(mqlua_log_limit *limit, double now, unsigned *suppressed);
