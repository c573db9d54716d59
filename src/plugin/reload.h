/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The thread that reloads. It watches the policy's files, reads and checks them when they changed, makes a
 * state for every worker, and publishes them all or none: no worker ever reads a file, parses, or waits.
 * Afterwards it watches how the new generation does, keeps it as the last-known-good one or goes back, and
 * frees the states that the workers are done with.
 */

#include "plugin/plugin.h"

/* Starts the thread unless it runs; with a context, never before, because the host may fork until then. A
 * thread that cannot be had is logged: the policy is then not reloaded. Any thread. */
void mqlua_reload_start(mqlua_plugin *plugin);

/* Ends it: whatever it is doing is cut short, and what cannot be is waited for until the moment until
 * (mqlua_time_now). Any thread but its own, more than once. */
void mqlua_reload_stop(mqlua_plugin *plugin, double until);
