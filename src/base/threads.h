/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Helper threads of the process, for work that would stop a worker's loop. Started with the first job, so
 * never before the host may have forked; with all signals blocked, so that the host's handlers stay on its
 * threads.
 *
 * Who owns a job: from submit on the pool, until exactly one of these was called:
 *   done   on the thread of the job's mailbox, after work;
 *   drop   after mqlua_job_cancel: at once on the caller's thread, or later on the helper that is working on
 * it just then, or when the mailbox runs. Also from mqlua_threads_free for what nobody cancelled. Afterwards
 * the pool does not know the job; done and drop may free it. Whoever submits a job therefore either gets
 * done, or cancels it.
 */

#include "base/list.h"
#include "base/mailbox.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct mqlua_threads mqlua_threads;

/* Embedded in whatever the work is about. The three functions are set by the user; the rest is the pool's. */
typedef struct mqlua_job {
    void (*work)(struct mqlua_job *job); /* on a helper; no Lua, no MQ_* there */
    void (*done)(struct mqlua_job *job);
    void (*drop)(struct mqlua_job *job); /* any thread */
    mqlua_threads *threads;
    mqlua_mailbox *mailbox; /* of who wants the result; NULL: it is gone */
    enum { MQLUA_JOB_NEW, MQLUA_JOB_QUEUED, MQLUA_JOB_RUNNING, MQLUA_JOB_POSTED, MQLUA_JOB_LEFT } state;
    bool cancelled;
    mqlua_post post;
    TAILQ_ENTRY(mqlua_job) link; /* in the queue, or among the running ones */
} mqlua_job;

/* Any thread of ours: without the host's signals, but with those that a fault raises where it happens. stack:
 * bytes, 0: as the system has it; name: up to 15 characters. False when it cannot be had. The caller joins
 * it. */
bool mqlua_threads_create(pthread_t *thread, const char *name, size_t stack, void *(*body)(void *),
                          void *argument);

/* Does work(ud) on a thread of its own and waits for it until the moment until (mqlua_time_now). False: it
 * has not come to its end, and goes on: whatever it uses must stay. Where no thread can be had, work is done
 * here, however long it takes. Any thread. */
bool mqlua_threads_do(const char *name, void (*work)(void *ud), void *ud, double until);

/* A pool without threads yet. NULL when memory is out. Owned by the caller. */
mqlua_threads *mqlua_threads_new(void);

/* Drops what is queued, waits for what runs, joins the threads. All mailboxes must be detached, and their
 * jobs done or cancelled. */
void mqlua_threads_free(mqlua_threads *threads);

/* Queues job, whose result goes to mailbox. Thread: the mailbox's. False, and the job is still the caller's,
 * when the queue is full or there is no thread and none can be started. */
bool mqlua_threads_submit(mqlua_threads *threads, mqlua_mailbox *mailbox, mqlua_job *job);

/* Nobody wants the result of a job that was submitted and is not yet done: drop is called, now or later.
 * Thread: that of the job's mailbox, before or after mqlua_threads_detach. */
void mqlua_job_cancel(mqlua_job *job);

/* A worker ends: no post to mailbox begins after this returned, so that the mailbox may go (which delivers
 * what was posted before). It does not wait for jobs that run. Jobs that were not posted are never done; they
 * are there until they are cancelled. Thread: the mailbox's. */
void mqlua_threads_detach(mqlua_threads *threads, mqlua_mailbox *mailbox);
