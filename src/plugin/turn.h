/* SPDX-License-Identifier: MIT */
#pragma once

/* What a worker does at the end of each turn of its loop: the next generation, tasks, hand-backs. */

#include "plugin/worker.h"

/* From here on the loop of a new worker does it. */
void mqlua_turn_open(mqlua_worker *worker);
