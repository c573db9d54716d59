/* SPDX-License-Identifier: MIT */

#include "plugin/build.h"
#include "api/shared.h"
#include "plugin/handover.h"
#include "base/error.h"
#include <stdlib.h>

typedef struct build {
    mqlua_plugin *plugin;
    mqlua_place *places;
    mqlua_parcel **parcels; /* of each place */
    mqlua_state **states;
    size_t count, asked, room;
    bool talks; /* the new policy has reload handlers */
} build;

static bool grow(build *b)
{
    size_t room = b->room ? b->room * 2 : 16;
    mqlua_place *places = realloc(b->places, room * sizeof *places);
    b->places = places ? places : b->places;
    mqlua_parcel **parcels = realloc(b->parcels, room * sizeof *parcels);
    b->parcels = parcels ? parcels : b->parcels;
    mqlua_state **states = realloc(b->states, room * sizeof *states);
    b->states = states ? states : b->states;
    if (!places || !parcels || !states)
        return false;
    b->room = room;
    return true;
}

/* b->count: none. Numbers are not used again, addresses may be. */
static size_t find(const build *b, const mqlua_worker *worker)
{
    size_t i = 0;
    while (i < b->count && b->places[i].number != worker->number)
        i++;
    return i;
}

/* Workers that are not in the list yet, under the lock. 1: there were some, 0: none, -1: no memory. */
static int add_new(build *b)
{
    int added = 0;
    mqlua_worker *worker;
    LIST_FOREACH(worker, &b->plugin->workers, link)
    {
        if (find(b, worker) < b->count)
            continue;
        if (b->count == b->room && !grow(b))
            return -1;
        b->places[b->count] = (mqlua_place){worker, worker->loop, worker->number};
        b->parcels[b->count] = NULL;
        b->states[b->count++] = NULL;
        added = 1;
    }
    return added;
}

static bool make(build *b, mqlua_bundle *bundle, uint64_t generation, const atomic_bool *stop, char **error)
{
    size_t first = b->asked;
    b->asked = b->count;
    if (!b->plugin->silent)
        mqlua_handover_ask(b->plugin, b->places + first, b->parcels + first, b->count - first, stop);
    for (size_t i = first; i < b->count; i++) {
        char *why = NULL;
        b->states[i] =
            mqlua_states_make(b->plugin, &b->places[i], bundle, generation, b->parcels[i], stop, &why);
        if (!b->states[i])
            mqlua_error_set(error, "worker %d: %s", b->places[i].number, why ? why : "not enough memory");
        free(why);
        if (!b->states[i])
            return false;
        b->talks |= b->states[i]->env.registry->events[MQLUA_RELOAD].count > 0;
    }
    return true;
}

/* Under the lock: one store makes it the generation of all. What the workers did not adopt in time comes
 * back. */
static void publish(build *b, mqlua_bundle *bundle, uint64_t generation)
{
    mqlua_worker *worker;
    LIST_FOREACH(worker, &b->plugin->workers, link)
    {
        size_t i = find(b, worker);
        b->states[i] = atomic_exchange(&worker->prepared, b->states[i]);
    }
    b->plugin->silent = !b->talks;
    mqlua_bundle *old = b->plugin->bundle;
    b->plugin->bundle = mqlua_bundle_ref(bundle);
    mqlua_bundle_unref(old);
    atomic_store_explicit(&b->plugin->generation, generation, memory_order_release);
    LIST_FOREACH(worker, &b->plugin->workers, link)
    {
        mqlua_loop_wake(worker->loop);
    }
}

static bool build_and_publish(build *b, mqlua_bundle *bundle, uint64_t generation, const atomic_bool *stop,
                              char **error)
{
    for (;;) {
        if (!make(b, bundle, generation, stop, error))
            return false;
        if (b->count)
            mqlua_shared_settle(&b->states[0]->env);
        pthread_mutex_lock(&b->plugin->lock);
        int added = add_new(b);
        if (!added)
            publish(b, bundle, generation);
        pthread_mutex_unlock(&b->plugin->lock);
        if (!added)
            return true;
        if (added < 0)
            return false;
    }
}

int mqlua_build_all(mqlua_plugin *plugin, mqlua_bundle *bundle, uint64_t generation, const atomic_bool *stop,
                    char **error)
{
    build b = {.plugin = plugin};
    bool good = build_and_publish(&b, bundle, generation, stop, error);
    for (size_t i = 0; i < b.count; i++) {
        mqlua_parcel_free(b.parcels[i]);
        mqlua_states_free(b.states[i]); /* nobody will serve with it */
    }
    free(b.places);
    free(b.parcels);
    free(b.states);
    return good ? (int)b.count : -1;
}
