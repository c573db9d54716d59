/* SPDX-License-Identifier: MIT */
#pragma once

/* How a run ends. Its memory is kept for the next one until the worker ends. */

#include "plugin/run.h"

/* From here on the worker's end abandons it: the event goes on after the callback. */
void mqlua_run_list(mqlua_run *run);

/* Gives back what the run has, nothing to the host; its task has ended. A run of smtp_in_close takes its peer
 * along. */
void mqlua_run_free(mqlua_run *run);
