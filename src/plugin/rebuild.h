/* SPDX-License-Identifier: MIT */
#pragma once

/* A state whose memory is at its cap is made anew from its own generation: a policy that keeps more and more
 * fails from then on at every event, and stays off until the process ends. All on the worker's thread. */

#include "plugin/worker.h"

/* Collects, and makes the current state anew if that does not help. Connections keep their vars. Not with a
 * Lua frame of the worker alive. What this costs is at most a quarter of the worker's time. */
void mqlua_rebuild(mqlua_worker *worker);
