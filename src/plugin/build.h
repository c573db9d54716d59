/* SPDX-License-Identifier: MIT */
#pragma once

#include "plugin/states.h"

/* Makes a state of bundle for every worker and publishes them as generation: all, or none. The number of
 * states; -1 with *error (malloc'ed) when one cannot be made or *stop became true, and then nothing has
 * changed. On the thread that reloads. */
int mqlua_build_all(mqlua_plugin *plugin, mqlua_bundle *bundle, uint64_t generation, const atomic_bool *stop,
                    char **error);
