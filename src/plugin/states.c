/* SPDX-License-Identifier: MIT */

#include "plugin/states.h"
#include "api/report.h"
#include "plugin/tally.h"
#include "policy/watcher.h"
#include "vm/refs.h"
#include <stdlib.h>

static int reference_arguments(lua_State *L)
{
    mqlua_env *env = lua_touserdata(L, 1);
    lua_pushcfunction(L, env->push_arguments);
    env->arguments = mqlua_refs_add(L);
    return 0;
}

mqlua_state *mqlua_states_make(mqlua_plugin *plugin, const mqlua_place *place, mqlua_bundle *bundle,
                               uint64_t generation, const mqlua_parcel *parcel, const atomic_bool *stop,
                               char **error)
{
    mqlua_env proto = plugin->proto;
    proto.worker = place->worker;
    proto.worker_number = place->number;
    proto.first_worker = place->number == 1;
    proto.parcel = parcel;
    proto.stop = stop;
    mqlua_state *state = mqlua_state_new(&proto, bundle, generation, place->loop, MQLUA_LOADING, error);
    if (!state)
        return NULL;
    state->worker = place->number;
    if (mqlua_vm_setup(state->env.vm, reference_arguments, &state->env, error) ||
        !mqlua_state_call(state, MQLUA_CONTEXT_INITIALIZE, place->number, error)) {
        mqlua_state_free(state);
        return NULL;
    }
    mqlua_vm_set_stop(state->env.vm, NULL); /* the flag may be gone before the state */
    mqlua_vm_collect(state->env.vm);
    state->base = mqlua_vm_memory(state->env.vm);
    return state;
}

void mqlua_states_free(mqlua_state *state)
{
    char *error = NULL;
    if (state && !mqlua_state_call(state, MQLUA_CONTEXT_CLEANUP, state->worker, &error))
        mqlua_report(&state->env, "context_cleanup failed", error ? error : "not enough memory");
    free(error);
    mqlua_state_free(state);
}

/* ---- states that workers are done with ---- */

void mqlua_states_free_disposed(mqlua_plugin *plugin)
{
    mqlua_state *state;
    do {
        pthread_mutex_lock(&plugin->lock);
        state = LIST_FIRST(&plugin->disposed);
        if (state)
            LIST_REMOVE(state, link);
        pthread_mutex_unlock(&plugin->lock);
        mqlua_states_free(state);
    } while (state);
}

void mqlua_states_dispose(mqlua_plugin *plugin, mqlua_state *state)
{
    pthread_mutex_lock(&plugin->lock);
    bool taken = plugin->watcher != NULL;
    if (taken) {
        LIST_INSERT_HEAD(&plugin->disposed, state, link);
        mqlua_watcher_wake(plugin->watcher);
    }
    pthread_mutex_unlock(&plugin->lock);
    if (!taken)
        mqlua_states_free(state);
}

/* ---- serving ---- */

/* The state tells inside the allocator that its memory is short: the next look for a generation finds one
 * that is due, and makes the state anew (plugin/rebuild.h). */
static void crowded(void *ud, bool refused)
{
    mqlua_worker *worker = ud;
    worker->crowded = true;
    worker->starved |= refused;
    worker->generation = 0;
}

void mqlua_states_serve(mqlua_worker *worker, mqlua_state *state)
{
    mqlua_tally_begin(&worker->tallies[state->env.generation % MQLUA_GENERATIONS], state->env.generation);
    mqlua_vm_set_crowded(state->env.vm, crowded, worker);
    worker->state = state;
    worker->crowded = worker->starved = false;
    worker->generation = state->env.generation;
    mqlua_task_attach(state->env.vm, &worker->lanes);
    mqlua_state_serve(state);
    mqlua_worker_soon(worker); /* what the policy spawned while it loaded */
    mqlua_worker_update_wanted(worker);
}
