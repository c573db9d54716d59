/* SPDX-License-Identifier: MIT */
#pragma once

/* The last policy that was good, kept across restarts in the state folder. */

#include "plugin/plugin.h"
#include "policy/refused.h"

/* The policy as it is now, checked. NULL with *error (malloc'ed). stop (may be NULL) cuts it short; seen as
 * in mqlua_check_policy. */
mqlua_bundle *mqlua_keep_check(mqlua_plugin *plugin, const atomic_bool *stop, mqlua_bundle **seen,
                               char **error);

/* The last-known-good one, checked again. NULL when there is none that runs, with *error (malloc'ed; NULL for
 * lack of memory), or, with *wait true, none that may run as root before the host changes its user. */
mqlua_bundle *mqlua_keep_restore(mqlua_plugin *plugin, bool *wait, char **error);

/* Where the last-known-good one is kept. False: the path would be longer than size. */
bool mqlua_keep_path(const mqlua_plugin *plugin, char *path, size_t size);

/* Is there one for this policy? */
bool mqlua_keep_exists(const mqlua_plugin *plugin);

/* Makes bundle the last-known-good one. An unwritable state folder is a warning, once. */
bool mqlua_keep_store(mqlua_plugin *plugin, mqlua_bundle *bundle);

/* Policies that were rolled back; NULL when memory is out. */
mqlua_refused *mqlua_keep_refused(const mqlua_plugin *plugin);
