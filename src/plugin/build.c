/* SPDX-License-Identifier: MIT */

#include "plugin/build.h"
#include "policy/error.h"
#include <stdlib.h>

typedef struct built {
    mqlua_place place;
    mqlua_state *state;
} built;

typedef struct build {
    mqlua_plugin *plugin;
    built *list;
    size_t count;
} build;

static built *find(build *b, const mqlua_worker *worker)
{
    for (size_t i = 0; i < b->count; i++)
        if (b->list[i].place.number == worker->number) /* numbers are not used again, addresses may be */
            return &b->list[i];
    return NULL;
}

/* Workers that are not in the list yet, under the lock. 1: there were some, 0: none, -1: no memory. */
static int add_new(build *b)
{
    int added = 0;
    for (mqlua_worker *worker = b->plugin->workers; worker; worker = worker->next) {
        if (find(b, worker))
            continue;
        built *grown = realloc(b->list, (b->count + 1) * sizeof *grown);
        if (!grown)
            return -1;
        b->list = grown;
        grown[b->count++] = (built){.place = {worker, worker->loop, worker->number}};
        added = 1;
    }
    return added;
}

static bool make(build *b, mqlua_bundle *bundle, uint64_t generation, const atomic_bool *stop, char **error)
{
    for (size_t i = 0; i < b->count; i++) {
        char *why = NULL;
        built *one = &b->list[i];
        if (one->state)
            continue;
        one->state = mqlua_worker_make_state(b->plugin, &one->place, bundle, generation, stop, &why);
        if (!one->state)
            mqlua_error_set(error, "%s (in the state for worker %d)", why ? why : "not enough memory",
                            one->place.number);
        free(why);
        if (!one->state)
            return false;
    }
    return true;
}

/* Under the lock: one store makes it the generation of all. What the workers did not adopt in time comes
 * back. */
static void publish(build *b, mqlua_bundle *bundle, uint64_t generation)
{
    for (mqlua_worker *worker = b->plugin->workers; worker; worker = worker->next) {
        built *one = find(b, worker);
        one->state = atomic_exchange(&worker->prepared, one->state);
    }
    mqlua_bundle *old = b->plugin->bundle;
    b->plugin->bundle = mqlua_bundle_ref(bundle);
    mqlua_bundle_unref(old);
    atomic_store_explicit(&b->plugin->generation, generation, memory_order_release);
    for (mqlua_worker *worker = b->plugin->workers; worker; worker = worker->next)
        mqlua_loop_wake(worker->loop);
}

static bool build_and_publish(build *b, mqlua_bundle *bundle, uint64_t generation, const atomic_bool *stop,
                              char **error)
{
    for (;;) {
        if (!make(b, bundle, generation, stop, error))
            return false;
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
    for (size_t i = 0; i < b.count; i++)
        mqlua_worker_free_state(b.list[i].state); /* nobody will serve with it */
    free(b.list);
    return good ? (int)b.count : -1;
}
