/* SPDX-License-Identifier: MIT */

#include "base/dicts.h"
#include "base/error.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct mqlua_dicts {
    pthread_mutex_t lock;
    LIST_HEAD(shared_list, mqlua_shared) list;
    size_t limit, sum; /* bytes */
    uint64_t leavings;
    void (*fill)(void *ud, mqlua_shared *shared);
    void *ud;
};

mqlua_dicts *mqlua_dicts_new(size_t limit, void (*fill)(void *ud, mqlua_shared *shared), void *ud)
{
    mqlua_dicts *dicts = calloc(1, sizeof *dicts);
    if (!dicts)
        return NULL;
    pthread_mutex_init(&dicts->lock, NULL);
    LIST_INIT(&dicts->list);
    dicts->limit = limit ? limit : (size_t)1 << 36;
    dicts->fill = fill;
    dicts->ud = ud;
    return dicts;
}

static void free_shared(mqlua_dicts *dicts, mqlua_shared *shared)
{
    LIST_REMOVE(shared, link);
    dicts->sum -= shared->capacity;
    mqlua_dict_free(shared->dict);
    free(shared);
}

void mqlua_dicts_free(mqlua_dicts *dicts)
{
    if (!dicts)
        return;
    while (!LIST_EMPTY(&dicts->list))
        free_shared(dicts, LIST_FIRST(&dicts->list));
    pthread_mutex_destroy(&dicts->lock);
    free(dicts);
}

bool mqlua_dicts_is_name(const char *text, size_t size)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    return size > 0 && size <= MQLUA_SHARED_NAME && text[0] != '.' && strspn(text, allowed) == size;
}

/* ---- with the lock held ---- */

static mqlua_shared *find(mqlua_dicts *dicts, const char *name)
{
    mqlua_shared *shared;
    LIST_FOREACH(shared, &dicts->list, link)
    if (strcmp(shared->name, name) == 0)
        return shared;
    return NULL;
}

static mqlua_shared *longest_unused(mqlua_dicts *dicts)
{
    mqlua_shared *shared, *found = NULL;
    LIST_FOREACH(shared, &dicts->list, link)
    if (!shared->users && (!found || shared->left < found->left))
        found = shared;
    return found;
}

/* Lets go of what nobody uses, until there is room for more bytes or all of it is gone. */
static void make_room(mqlua_dicts *dicts, size_t more)
{
    for (mqlua_shared *unused; dicts->sum + more > dicts->limit && (unused = longest_unused(dicts));)
        free_shared(dicts, unused);
}

/* Whether there is room for more bytes. What generations have that are to go does not stand in the way of the
 * next one. */
static bool has_room(mqlua_dicts *dicts, size_t more, char **error)
{
    make_room(dicts, more);
    if (dicts->sum + more <= 2 * dicts->limit)
        return true;
    mqlua_error_set(error,
                    "there is no room for %zu bytes until connections of earlier generations have ended: all "
                    "dictionaries have %zu of %zu (twice shared.memory in the settings)",
                    more, dicts->sum, 2 * dicts->limit);
    return false;
}

/* Whether a generation that has so many bytes already may have more. */
static bool is_allowed(const mqlua_dicts *dicts, size_t mine, size_t more, char **error)
{
    if (more <= dicts->limit && mine <= dicts->limit - more)
        return true;
    if (more > dicts->limit)
        mqlua_error_set(
            error,
            "its capacity of %zu bytes is more than all dictionaries may have, %zu (shared.memory "
            "in the settings)",
            more, dicts->limit);
    else
        mqlua_error_set(
            error,
            "there is no room for %zu bytes: the others have %zu of %zu (shared.memory in the settings)",
            more, mine, dicts->limit);
    return false;
}

static mqlua_shared *make(mqlua_dicts *dicts, const char *name, size_t capacity, bool persist, char **error)
{
    if (!has_room(dicts, capacity, error))
        return NULL;
    mqlua_shared *shared = calloc(1, sizeof *shared);
    if (shared) /* address space for what it may become; without it, it cannot grow */
        shared->dict = mqlua_dict_new(capacity, dicts->limit);
    if (shared && !shared->dict)
        shared->dict = mqlua_dict_new(capacity, capacity);
    if (!shared || !shared->dict) {
        free(shared);
        mqlua_error_set(error, "not enough memory");
        return NULL;
    }
    strncpy(shared->name, name, MQLUA_SHARED_NAME);
    shared->capacity = capacity;
    shared->persist = persist;
    dicts->sum += capacity;
    LIST_INSERT_HEAD(&dicts->list, shared, link);
    if (persist && dicts->fill)
        dicts->fill(dicts->ud, shared);
    return shared;
}

/* ---- without ---- */

mqlua_shared *mqlua_dicts_open(mqlua_dicts *dicts, const char *name, size_t capacity, bool persist,
                               size_t mine, char **error)
{
    capacity = capacity < MQLUA_DICT_LEAST ? MQLUA_DICT_LEAST : capacity;
    if (!is_allowed(dicts, mine, capacity, error))
        return NULL;
    pthread_mutex_lock(&dicts->lock);
    mqlua_shared *shared = find(dicts, name);
    if (!shared)
        shared = make(dicts, name, capacity, persist, error);
    if (shared)
        shared->users++;
    pthread_mutex_unlock(&dicts->lock);
    return shared;
}

void mqlua_dicts_use(mqlua_dicts *dicts, mqlua_shared *shared)
{
    pthread_mutex_lock(&dicts->lock);
    shared->users++;
    pthread_mutex_unlock(&dicts->lock);
}

void mqlua_dicts_close(mqlua_dicts *dicts, mqlua_shared *shared)
{
    pthread_mutex_lock(&dicts->lock);
    if (--shared->users == 0) {
        shared->left = ++dicts->leavings;
        make_room(dicts, 0);
    }
    pthread_mutex_unlock(&dicts->lock);
}

bool mqlua_dicts_settle(mqlua_dicts *dicts, mqlua_shared *shared, size_t capacity, bool persist, char **error)
{
    capacity = capacity < MQLUA_DICT_LEAST ? MQLUA_DICT_LEAST : capacity;
    pthread_mutex_lock(&dicts->lock);
    bool good = capacity <= shared->capacity || has_room(dicts, capacity - shared->capacity, error);
    if (good && capacity != shared->capacity) {
        good = mqlua_dict_resize(shared->dict, capacity);
        if (!good)
            mqlua_error_set(error,
                            "it cannot have %zu bytes: counters that never expire need more, or the "
                            "system has no address space",
                            capacity);
    }
    if (good) {
        dicts->sum = dicts->sum - shared->capacity + capacity;
        shared->capacity = capacity;
        shared->persist = persist;
    }
    pthread_mutex_unlock(&dicts->lock);
    return good;
}

void mqlua_dicts_each(mqlua_dicts *dicts, void (*visit)(void *ud, mqlua_shared *shared), void *ud)
{
    pthread_mutex_lock(&dicts->lock);
    for (mqlua_shared *shared = LIST_FIRST(&dicts->list); shared; shared = LIST_NEXT(shared, link)) {
        bool used = shared->users++ > 0;
        pthread_mutex_unlock(&dicts->lock);
        visit(ud, shared);
        pthread_mutex_lock(&dicts->lock);
        if (--shared->users == 0 && used)
            shared->left = ++dicts->leavings;
    }
    pthread_mutex_unlock(&dicts->lock);
}
