/* SPDX-License-Identifier: MIT */

#include "base/log_limit.h"

enum { PER_SECOND = 10, BURST = 10 };

bool mqlua_log_allow(mqlua_log_limit *limit, double now, unsigned *suppressed)
{
    if (!limit->used)
        limit->tokens = BURST;
    else if (now > limit->last)
        limit->tokens += (now - limit->last) * PER_SECOND;
    if (limit->tokens > BURST)
        limit->tokens = BURST;
    limit->used = true;
    limit->last = now;
    if (limit->tokens < 1) {
        limit->suppressed++;
        return false;
    }
    limit->tokens -= 1;
    *suppressed = limit->suppressed;
    limit->suppressed = 0;
    return true;
}
