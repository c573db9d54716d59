/* SPDX-License-Identifier: MIT */
#pragma once

#include "plugin/states.h"

/* Asks the current state of every worker, on the worker's thread, what it hands on: parcels[i] for places[i],
 * NULL for nothing. A worker that does not come round within a second, or is gone, hands on nothing (logged).
 * True *stop ends the wait. On the thread that reloads; the parcels are the caller's. */
void mqlua_handover_ask(mqlua_plugin *plugin, const mqlua_place *places, mqlua_parcel **parcels, size_t count,
                        const atomic_bool *stop);
