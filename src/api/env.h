/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the library needs to know about the state that it runs in. One for each vm; it is the vm's owner
 * (mqlua_vm_owner). Everything in it is borrowed and outlives the vm.
 */

#include "base/list.h"
#include "base/log_limit.h"
#include "mq/log.h"
#include "mq/loop.h"
#include "policy/bundle.h"
#include "policy/settings.h"
#include "vm/task.h"
#include "vm/vm.h"

typedef struct mqlua_metrics mqlua_metrics;         /* base/metrics.h: process-wide */
typedef struct mqlua_threads mqlua_threads;         /* base/threads.h: process-wide helper threads */
typedef struct mqlua_registry mqlua_registry;       /* api/on.h: the handlers of this vm */
typedef struct mqlua_tree mqlua_tree;               /* json/tree.h */
typedef struct mqlua_dicts mqlua_dicts;             /* base/dicts.h: process-wide */
typedef struct mqlua_mime_module mqlua_mime_module; /* mime/module.h: process-wide */
typedef struct mqlua_made mqlua_made;               /* api/verdict.h */

typedef LIST_HEAD(mqlua_clocks, mqlua_clock) mqlua_clocks;

typedef enum mqlua_phase {
    MQLUA_LOADING,  /* the policy's files run: mq.on and mq.configure are open, waiting raises */
    MQLUA_CHECKING, /* as loading, in a scratch state of a check */
    MQLUA_PREPARED, /* loaded, on no worker yet or no more: what it does on its own must not touch a loop */
    MQLUA_SERVING,  /* a worker's; its timers run */
} mqlua_phase;

typedef struct mqlua_env {
    mqlua_vm *vm;
    const mqlua_symbols *symbols; /* NULL in mqlua check */
    const mqlua_settings *settings;
    mqlua_bundle *bundle;
    mqlua_loop *loop;                 /* NULL: there is no loop here, nothing can wait */
    const struct mqlua_cidr *proxies; /* host.proxies; NULL: none */
    mqlua_metrics *metrics;
    mqlua_threads *threads;
    mqlua_dicts *dicts;
    mqlua_mime_module *mime;
    LIST_HEAD(mqlua_declared_list, mqlua_declared) declared; /* api/shared.c: by the policy, with mq.shared */
    mqlua_registry *registry;
    const mqlua_tree *tree; /* NULL: the host's JSON cannot be read */
    mqlua_phase phase;
    uint64_t generation;
    mqlua_made *made;                  /* verdicts made in the running handler; NULL: not watched */
    int worker_number;                 /* from 1; 0: of no worker */
    bool first_worker;                 /* timers with {scope = "process"} run here */
    mqlua_clocks once, repeating;      /* api/timers.c: of mq.after and mq.every */
    bool replaced;                     /* another generation has its place: no function of mq.every begins */
    mqlua_log_limit report_limit;      /* api/report.c */
    struct mqlua_series *errors;       /* api/report.c: the counter of failures */
    const atomic_bool *stop;           /* NULL, or: true ends whatever runs while the policy loads */
    const struct mqlua_parcel *parcel; /* api/move.h: what the state before hands on; while loading */
    char *data_wrong;                  /* api/data.c: while loading, of a data file; malloc'ed, the state's */
    bool drop_told, lost_told;    /* api/move.c: that a value was left behind; that one was for a limit */
    bool outlives;                /* set when a task or timer was made that can run after the event of now */
    lua_CFunction push_arguments; /* pushes the arguments of a handler (plugin/arguments.h) */
    int arguments;                /* registry: that function */
    void *worker;                 /* plugin/worker.h */
    struct mqlua_message *messages; /* api/message.h: those that have begun and not ended */
} mqlua_env;

static inline mqlua_env *mqlua_env_of(lua_State *L)
{
    return mqlua_vm_owner(mqlua_vm_of(L));
}
