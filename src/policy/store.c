/* SPDX-License-Identifier: MIT */

#include "policy/store.h"
#include "base/error.h"
#include "base/threads.h"
#include "policy/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct mqlua_store {
    char *folder;
    void (*warn)(void *ud, const char *text);
    void *ud;
    pthread_mutex_t lock; /* guards the lock file and what was said */
    int lock_fd;          /* holds the lock; -1: not ours */
    bool lock_told;       /* that somebody else has it, or that it cannot be had */
    bool write_told;      /* that a file cannot be written */

    atomic_bool open;
    mqlua_dicts *dicts;
    pthread_t thread;
    bool runs;
    pthread_mutex_t sleeping; /* with wake: the thread's pause */
    pthread_cond_t wake;
    bool stop;
};

static uint64_t wall_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

mqlua_store *mqlua_store_new(const char *state_dir, void (*warn)(void *ud, const char *text), void *ud)
{
    mqlua_store *store = calloc(1, sizeof *store);
    if (!store || asprintf(&store->folder, "%s/shared", state_dir) < 0) {
        free(store);
        return NULL;
    }
    store->warn = warn;
    store->ud = ud;
    store->lock_fd = -1;
    pthread_mutex_init(&store->lock, NULL);
    pthread_mutex_init(&store->sleeping, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&store->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    return store;
}

void mqlua_store_free(mqlua_store *store)
{
    if (!store)
        return;
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    pthread_cond_destroy(&store->wake);
    pthread_mutex_destroy(&store->sleeping);
    pthread_mutex_destroy(&store->lock);
    free(store->folder);
    free(store);
}

__attribute__((format(printf, 2, 3))) static void tell(mqlua_store *store, const char *format, ...)
{
    char text[700];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    store->warn(store->ud, text);
}

/* ---- the lock ---- */

static int open_lock(const mqlua_store *store)
{
    char path[4096];
    if (mkdir(store->folder, 0700) < 0 && errno != EEXIST)
        return -1;
    if (snprintf(path, sizeof path, "%s/lock", store->folder) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    struct stat info;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd >= 0 && (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode))) {
        close(fd);
        errno = EINVAL;
        return -1;
    }
    return fd;
}

/* Whether the files are this process's. *taken: since now. */
static bool own(mqlua_store *store, bool *taken)
{
    *taken = false;
    pthread_mutex_lock(&store->lock);
    if (store->lock_fd < 0) {
        int fd = open_lock(store);
        *taken = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
        int why = errno;
        if (*taken)
            store->lock_fd = fd;
        else if (fd >= 0)
            close(fd);
        if (!*taken && !store->lock_told)
            tell(store,
                 why == EWOULDBLOCK ? "ANOTHER PROCESS KEEPS THE SHARED DICTIONARIES IN %s: here they begin "
                                      "empty, and nothing of "
                                      "them is kept until it ends. Two processes need a state_dir each"
                                    : "SHARED DICTIONARIES CANNOT BE KEPT IN %s: %s. They begin empty, and "
                                      "nothing of them outlives "
                                      "this process",
                 store->folder, mqlua_error_text(why));
        store->lock_told = !*taken;
    }
    bool ours = store->lock_fd >= 0;
    pthread_mutex_unlock(&store->lock);
    return ours;
}

/* ---- reading ---- */

static bool path_of(const mqlua_store *store, const mqlua_shared *shared, char path[4096])
{
    return snprintf(path, 4096, "%s/%s.dict", store->folder, shared->name) < 4096;
}

/* A damaged file is kept beside, for whoever wants to look into it, and begun anew. */
static void set_aside(mqlua_store *store, const char *path, const char *why)
{
    char aside[4200];
    snprintf(aside, sizeof aside, "%s.damaged", path);
    rename(path, aside);
    tell(store, "the shared dictionary in %s is damaged and begins anew: %s. The file is now %s", path,
         why ? why : "not enough memory", aside);
}

static void read_file(mqlua_store *store, mqlua_shared *shared, const char *path, int fd, size_t size)
{
    char *error = NULL;
    void *bytes = size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    if (bytes == MAP_FAILED) {
        set_aside(store, path, size ? mqlua_error_text(errno) : "it is empty");
        return;
    }
    if (!mqlua_dict_load(shared->dict, bytes, size, wall_clock(), &error))
        set_aside(store, path, error);
    free(error);
    munmap(bytes, size);
}

static void fill_from_file(mqlua_store *store, mqlua_shared *shared)
{
    char path[4096];
    struct stat info;
    if (!path_of(store, shared, path))
        return;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode))
        read_file(store, shared, path, fd, (size_t)info.st_size);
    else if (fd >= 0 || errno != ENOENT)
        tell(store, "the shared dictionary in %s begins empty: %s", path,
             fd >= 0 ? "it is no regular file" : mqlua_error_text(errno));
    if (fd >= 0)
        close(fd);
}

/* ---- writing ---- */

static bool write_file(int fd, const void *ud, char **error)
{
    const mqlua_shared *shared = ud;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    FILE *file = copy < 0 ? NULL : fdopen(copy, "w");
    if (!file) {
        mqlua_error_set(error, "%s", mqlua_error_text(errno));
        if (copy >= 0)
            close(copy);
        return false;
    }
    errno = ENOMEM;
    bool good = mqlua_dict_save(shared->dict, file, wall_clock());
    int why = errno;
    if (fclose(file) != 0) {
        why = errno;
        good = false;
    }
    if (!good)
        mqlua_error_set(error, "%s", mqlua_error_text(why));
    return good;
}

static void save_one(void *ud, mqlua_shared *shared)
{
    mqlua_store *store = ud;
    char path[4096], *error = NULL;
    mqlua_dict_stats stats;
    mqlua_dict_get_stats(shared->dict, &stats);
    if (!shared->persist || stats.changes == shared->saved || !path_of(store, shared, path))
        return;
    if (mqlua_replace_file(path, write_file, shared, &error)) {
        shared->saved = stats.changes;
        if (store->write_told)
            tell(store, "shared dictionaries are kept again in %s", store->folder);
        store->write_told = false;
    } else if (!store->write_told) {
        store->write_told = true;
        tell(
            store,
            "A SHARED DICTIONARY CANNOT BE KEPT: %s. What changes from now on is lost when this process ends",
            error ? error : "not enough memory");
    }
    free(error);
}

/* Where none persists, no file is touched. */
static void save_last(void *ud, mqlua_shared *shared)
{
    bool taken;
    if (shared->persist && own(ud, &taken))
        save_one(ud, shared);
}

static void fill_late(void *ud, mqlua_shared *shared)
{
    if (shared->persist)
        fill_from_file(ud, shared);
}

static void save_all(mqlua_store *store)
{
    bool taken;
    if (!own(store, &taken))
        return;
    if (taken) {
        tell(store, "the shared dictionaries in %s are this process's now", store->folder);
        mqlua_dicts_each(store->dicts, fill_late, store);
    }
    mqlua_dicts_each(store->dicts, save_one, store);
}

/* ---- the thread ---- */

/* False: it is time to end. */
static bool pause_of(mqlua_store *store)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += MQLUA_STORE_SECONDS;
    pthread_mutex_lock(&store->sleeping);
    while (!store->stop && pthread_cond_timedwait(&store->wake, &store->sleeping, &until) == 0) {
        /* woken without a reason */
    }
    bool go_on = !store->stop;
    pthread_mutex_unlock(&store->sleeping);
    return go_on;
}

static void *body(void *ud)
{
    mqlua_store *store = ud;
    while (pause_of(store))
        save_all(store);
    return NULL;
}

static void start_thread(mqlua_store *store)
{
    pthread_mutex_lock(&store->lock);
    if (!store->runs && !store->stop) {
        store->runs = mqlua_threads_create(&store->thread, "mqlua-store", 0, body, store);
        if (!store->runs)
            tell(store, "SHARED DICTIONARIES CANNOT BE KEPT in %s before the end: no thread can be had",
                 store->folder);
    }
    pthread_mutex_unlock(&store->lock);
}

/* ---- from outside ---- */

void mqlua_store_fill(void *ud, mqlua_shared *shared)
{
    mqlua_store *store = ud;
    bool taken;
    if (!atomic_load(&store->open))
        return;
    if (own(store, &taken))
        fill_from_file(store, shared);
    start_thread(store);
}

static void fill_persistent(void *ud, mqlua_shared *shared)
{
    if (shared->persist)
        mqlua_store_fill(ud, shared);
}

void mqlua_store_open(mqlua_store *store, mqlua_dicts *dicts)
{
    if (atomic_load(&store->open))
        return;
    store->dicts = dicts;
    atomic_store(&store->open, true);
    mqlua_dicts_each(dicts, fill_persistent, store);
}

void mqlua_store_stop(mqlua_store *store)
{
    if (!store || !atomic_load(&store->open))
        return;
    pthread_mutex_lock(&store->sleeping);
    store->stop = true;
    pthread_cond_signal(&store->wake);
    pthread_mutex_unlock(&store->sleeping);
    if (store->runs)
        pthread_join(store->thread, NULL);
    store->runs = false;
    mqlua_dicts_each(store->dicts, save_last, store);
}
