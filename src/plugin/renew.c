/* SPDX-License-Identifier: MIT */

#include "plugin/renew.h"
#include "plugin/adopt.h"
#include "plugin/rebuild.h"
#include "plugin/states.h"

void mqlua_renew(mqlua_worker *worker)
{
    double begun = mqlua_loop_now();
    uint64_t current = atomic_load(&worker->plugin->generation);
    mqlua_state *next = atomic_exchange(&worker->prepared, NULL), *last = worker->state;
    if (!next) {
        worker->generation = current;
        if (worker->crowded)
            mqlua_rebuild(worker);
        return;
    }
    worker->state = NULL;
    if (last)
        mqlua_adopt_retire(worker, last);
    mqlua_states_serve(worker, next);
    mqlua_adopt_keep_bound(worker);
    mqlua_adopt_sweep(worker);
    mqlua_figures_observe(worker->plugin->figures.adoption, mqlua_loop_now() - begun);
}
