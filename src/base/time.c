/* SPDX-License-Identifier: MIT */

#include "base/time.h"

#include <time.h>

double mqlua_time_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}
