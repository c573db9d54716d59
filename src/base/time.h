/* SPDX-License-Identifier: MIT */
#pragma once

/* Seconds on the monotonic clock. Any thread; some 20 ns. */
double mqlua_time_now(void);
