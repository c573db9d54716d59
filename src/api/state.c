/* SPDX-License-Identifier: MIT */

#include "api/state.h"
#include "api/move.h"
#include "api/open.h"
#include "api/shared.h"
#include "api/timers.h"
#include "base/error.h"
#include "base/time.h"
#include "policy/load.h"
#include <stdlib.h>
#include <string.h>

static mqlua_state *fail(mqlua_state *state, char **error)
{
    if (!*error)
        mqlua_error_set(error, "not enough memory");
    mqlua_state_free(state);
    return NULL;
}

static mqlua_state *state_alloc(const mqlua_env *proto, mqlua_bundle *bundle, uint64_t generation,
                                mqlua_loop *loop, mqlua_phase phase)
{
    mqlua_state *state = calloc(1, sizeof *state);
    if (!state)
        return NULL;
    state->env = *proto;
    state->env.vm = NULL;
    state->env.bundle = mqlua_bundle_ref(bundle);
    state->env.generation = generation;
    state->env.loop = loop;
    state->env.phase = phase;
    state->env.made = &state->made;
    state->env.data_wrong = NULL;
    LIST_INIT(&state->env.declared);
    LIST_INIT(&state->env.once);
    LIST_INIT(&state->env.repeating);
    state->env.registry = mqlua_registry_new(proto->settings);
    if (!loop) /* what the policy starts at its top level, in every state, is not an error */
        state->env.loop = state->own_loop = mqlua_loop_new(NULL, NULL, 0, 0);
    return state;
}

/* The policy did not load: was it because a data file is no JSON? */
static void tell_data(const mqlua_env *env, char **error)
{
    char *text = NULL;
    if (!*error || !env->data_wrong || strstr(*error, env->data_wrong) ||
        asprintf(&text, "%s\n%s", *error, env->data_wrong) < 0)
        return;
    free(*error);
    *error = text;
}

mqlua_state *mqlua_state_new(const mqlua_env *proto, mqlua_bundle *bundle, uint64_t generation,
                             mqlua_loop *loop, mqlua_phase phase, char **error)
{
    *error = NULL;
    mqlua_state *state = state_alloc(proto, bundle, generation, loop, phase);
    if (!state || !state->env.registry || !state->env.loop)
        return fail(state, error);
    state->env.vm = mqlua_vm_new(&proto->settings->limits);
    if (!state->env.vm)
        return fail(state, error);
    mqlua_vm_set_owner(state->env.vm, &state->env);
    mqlua_vm_set_stop(state->env.vm, proto->stop);
    if (mqlua_vm_setup(state->env.vm, mqlua_api_open, NULL, error))
        return fail(state, error);
    mqlua_parcel_unpack(proto->parcel, &state->env);
    state->env.parcel = NULL;
    mqlua_vm_set_budget(state->env.vm, MQLUA_LOAD_BUDGET);
    if (!mqlua_load_compile(state->env.vm, bundle, error) || !mqlua_load_run(state->env.vm, bundle, error)) {
        tell_data(&state->env, error);
        return fail(state, error);
    }
    mqlua_vm_set_budget(state->env.vm, proto->settings->limits.budget);
    if (phase == MQLUA_LOADING) {
        state->env.phase = MQLUA_PREPARED;
        state->env.loop = loop; /* without one, handlers are told so instead of waiting for ever */
    }
    return state;
}

void mqlua_state_free(mqlua_state *state)
{
    if (!state)
        return;
    if (state->env.vm) {
        mqlua_api_close(&state->env);
        mqlua_vm_free(state->env.vm);
    }
    free(state->env.data_wrong);
    mqlua_loop_free(state->own_loop);
    mqlua_shared_close(&state->env);
    mqlua_registry_free(state->env.registry);
    mqlua_bundle_unref(state->env.bundle);
    free(state);
}

void mqlua_state_serve(mqlua_state *state)
{
    state->env.phase = MQLUA_SERVING;
    mqlua_timers_start(&state->env);
}

void mqlua_state_stop(mqlua_state *state)
{
    state->env.phase = MQLUA_PREPARED;
    mqlua_timers_stop(&state->env);
    mqlua_vm_stop(state->env.vm);
}

/* ---- handlers that are no tasks ---- */

typedef struct plain_call {
    const mqlua_handler *handler;
    int worker;
} plain_call;

static int call_plain(lua_State *L)
{
    const plain_call *call = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, call->handler->function);
    if (call->worker) {
        lua_createtable(L, 0, 1);
        lua_pushinteger(L, call->worker);
        lua_setfield(L, -2, "number");
    }
    lua_call(L, call->worker ? 1 : 0, 1);
    if (!lua_isnil(L, -1))
        luaL_error(L, "handler '%s' returned a %s: this event takes no verdict", call->handler->name,
                   luaL_typename(L, -1));
    return 0;
}

/* Seconds of run time that all handlers of the end have together: a host that stops waits for them. */
static const double END_BUDGET = 0.3;

bool mqlua_state_call(mqlua_state *state, mqlua_event event, int worker, char **error)
{
    const mqlua_handlers *handlers = &state->env.registry->events[event];
    bool good = true, ends = event == MQLUA_CLEANUP || event == MQLUA_CONTEXT_CLEANUP;
    double end = mqlua_time_now() + END_BUDGET;
    mqlua_vm_set_budget(state->env.vm, MQLUA_LOAD_BUDGET);
    for (int i = 0; good && i < handlers->count; i++) {
        plain_call call = {&handlers->list[i], worker};
        double left = end - mqlua_time_now();
        if (ends)
            mqlua_vm_set_budget(state->env.vm, left > 0.001 ? left : 0.001);
        good = mqlua_vm_call(state->env.vm, call_plain, &call, error) == 0;
    }
    mqlua_vm_set_budget(state->env.vm, state->env.settings->limits.budget);
    return good;
}
