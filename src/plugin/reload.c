/* SPDX-License-Identifier: MIT */

#include "plugin/reload.h"

void mqlua_reload_adopt(mqlua_worker *worker)
{
    worker->generation = atomic_load(&worker->plugin->generation);
}

void mqlua_reload_repin(mqlua_worker *worker, mqlua_peer *peer, mqlua_event event)
{
}
