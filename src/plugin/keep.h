/* SPDX-License-Identifier: MIT */
#pragma once

/* The last policy that was good, kept across restarts in the state folder. */

#include "plugin/plugin.h"

/* The policy as it is now, checked. NULL with *error (malloc'ed). */
mqlua_bundle *mqlua_keep_check(mqlua_plugin *plugin, char **error);

/* The last-known-good one, checked again; loud. NULL when there is none that runs. */
mqlua_bundle *mqlua_keep_restore(mqlua_plugin *plugin);

/* Makes bundle the last-known-good one. An unwritable state folder is a warning, once. */
void mqlua_keep_store(mqlua_plugin *plugin, mqlua_bundle *bundle);
