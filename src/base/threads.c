/* SPDX-License-Identifier: MIT */
#include "base/threads.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

enum { THREADS = 4, QUEUE = 1000, STACK = 256 << 10 };

typedef TAILQ_HEAD(job_list, mqlua_job) job_list;

struct mqlua_threads {
    pthread_mutex_t lock; /* guards everything here, and state and mailbox of all jobs */
    pthread_cond_t work;
    job_list queue, running;
    size_t queued;
    pthread_t threads[THREADS];
    size_t count, idle;
    bool stop;
};

mqlua_threads *mqlua_threads_new(void)
{
    mqlua_threads *threads = calloc(1, sizeof *threads);
    if (!threads)
        return NULL;
    TAILQ_INIT(&threads->queue);
    TAILQ_INIT(&threads->running);
    if (pthread_mutex_init(&threads->lock, NULL) == 0) {
        if (pthread_cond_init(&threads->work, NULL) == 0)
            return threads;
        pthread_mutex_destroy(&threads->lock);
    }
    free(threads);
    return NULL;
}

/* On the worker's thread. */
static void deliver(mqlua_post *post)
{
    mqlua_job *job = (mqlua_job *)(void *)((char *)post - offsetof(mqlua_job, post));
    pthread_mutex_lock(&job->threads->lock);
    bool cancelled = job->cancelled;
    pthread_mutex_unlock(&job->threads->lock);
    if (cancelled)
        job->drop(job);
    else
        job->done(job);
}

/* With the lock held, which it gives up while the job works. Posting with the lock held is what makes detach
 * safe: a job either has been posted before the mailbox goes, or finds that it is gone. */
static void run(mqlua_threads *threads, mqlua_job *job)
{
    TAILQ_REMOVE(&threads->queue, job, link);
    threads->queued--;
    TAILQ_INSERT_TAIL(&threads->running, job, link);
    job->state = MQLUA_JOB_RUNNING;
    pthread_mutex_unlock(&threads->lock);
    job->work(job);
    pthread_mutex_lock(&threads->lock);
    TAILQ_REMOVE(&threads->running, job, link);
    if (job->cancelled) {
        pthread_mutex_unlock(&threads->lock);
        job->drop(job);
        pthread_mutex_lock(&threads->lock);
    } else if (job->mailbox) {
        job->state = MQLUA_JOB_POSTED;
        job->post.run = deliver;
        mqlua_mailbox_post(job->mailbox, &job->post);
    } else {
        job->state = MQLUA_JOB_LEFT;
    }
}

static void *helper(void *arg)
{
    mqlua_threads *threads = arg;
    pthread_mutex_lock(&threads->lock);
    while (!threads->stop) {
        if (!TAILQ_EMPTY(&threads->queue)) {
            run(threads, TAILQ_FIRST(&threads->queue));
            continue;
        }
        threads->idle++;
        pthread_cond_wait(&threads->work, &threads->lock);
        threads->idle--;
    }
    pthread_mutex_unlock(&threads->lock);
    return NULL;
}

/* Signals are for the host's threads. Those that a fault of this thread itself raises are not: blocked, they
 * would end the process without the host's handlers. */
static void fill_mask(sigset_t *set)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    sigfillset(set);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(set, faults[i]);
}

/* Signals are blocked before the thread exists, because it inherits the mask. */
bool mqlua_threads_create(pthread_t *thread, const char *name, size_t stack, void *(*body)(void *),
                          void *argument)
{
    sigset_t mask, before;
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    if (stack)
        pthread_attr_setstacksize(&attributes, stack);
    fill_mask(&mask);
    pthread_sigmask(SIG_SETMASK, &mask, &before);
    bool started = pthread_create(thread, &attributes, body, argument) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (started)
        pthread_setname_np(*thread, name);
    return started;
}

/* Work that is waited for as long as it is worth; whoever is last, the thread or who waits, frees it. */
typedef struct errand {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    void (*work)(void *ud);
    void *ud;
    bool done, left;
} errand;

static errand *errand_new(void (*work)(void *ud), void *ud)
{
    pthread_condattr_t attributes;
    errand *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    *e = (errand){.work = work, .ud = ud};
    pthread_mutex_init(&e->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&e->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return e;
}

static void errand_free(errand *e)
{
    pthread_cond_destroy(&e->changed);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

static void *run_errand(void *argument)
{
    errand *e = argument;
    e->work(e->ud);
    pthread_mutex_lock(&e->lock);
    e->done = true;
    bool left = e->left;
    pthread_cond_signal(&e->changed);
    pthread_mutex_unlock(&e->lock);
    if (left)
        errand_free(e);
    return NULL;
}

/* True: it is done. */
static bool wait_for(errand *e, double until)
{
    struct timespec end = {.tv_sec = (time_t)until};
    end.tv_nsec = (long)((until - (double)end.tv_sec) * 1e9);
    pthread_mutex_lock(&e->lock);
    while (!e->done && pthread_cond_timedwait(&e->changed, &e->lock, &end) == 0)
        continue;
    bool done = e->done;
    e->left = !done;
    pthread_mutex_unlock(&e->lock);
    return done;
}

bool mqlua_threads_do(const char *name, void (*work)(void *ud), void *ud, double until)
{
    pthread_t thread;
    errand *e = errand_new(work, ud);
    if (!e || !mqlua_threads_create(&thread, name, 0, run_errand, e)) {
        if (e)
            errand_free(e);
        work(ud);
        return true;
    }
    if (!wait_for(e, until)) {
        pthread_detach(thread);
        return false;
    }
    pthread_join(thread, NULL);
    errand_free(e);
    return true;
}

/* With the lock held. */
static bool start_thread(mqlua_threads *threads)
{
    if (!mqlua_threads_create(&threads->threads[threads->count], "mqlua-helper", STACK, helper, threads))
        return false;
    threads->count++;
    return true;
}

bool mqlua_threads_submit(mqlua_threads *threads, mqlua_mailbox *mailbox, mqlua_job *job)
{
    pthread_mutex_lock(&threads->lock);
    bool room = threads->queued < QUEUE && !threads->stop;
    if (room && threads->queued >= threads->idle && threads->count < THREADS)
        start_thread(threads); /* a failure matters only when there is no thread at all */
    if (!room || !threads->count) {
        pthread_mutex_unlock(&threads->lock);
        return false;
    }
    job->threads = threads;
    job->mailbox = mailbox;
    job->cancelled = false;
    job->state = MQLUA_JOB_QUEUED;
    TAILQ_INSERT_TAIL(&threads->queue, job, link);
    threads->queued++;
    pthread_cond_signal(&threads->work);
    pthread_mutex_unlock(&threads->lock);
    return true;
}

void mqlua_job_cancel(mqlua_job *job)
{
    mqlua_threads *threads = job->threads;
    pthread_mutex_lock(&threads->lock);
    bool ours = job->state == MQLUA_JOB_QUEUED || job->state == MQLUA_JOB_LEFT;
    job->cancelled = true; /* running or posted: whoever has it drops it */
    if (job->state == MQLUA_JOB_QUEUED) {
        TAILQ_REMOVE(&threads->queue, job, link);
        threads->queued--;
    }
    pthread_mutex_unlock(&threads->lock);
    if (ours)
        job->drop(job);
}

void mqlua_threads_detach(mqlua_threads *threads, mqlua_mailbox *mailbox)
{
    pthread_mutex_lock(&threads->lock);
    mqlua_job *job, *next;
    TAILQ_FOREACH_SAFE(job, &threads->queue, link, next)
    {
        if (job->mailbox != mailbox)
            continue;
        TAILQ_REMOVE(&threads->queue, job, link);
        threads->queued--;
        job->mailbox = NULL;
        job->state = MQLUA_JOB_LEFT;
    }
    TAILQ_FOREACH(job, &threads->running, link)
    if (job->mailbox == mailbox)
        job->mailbox = NULL;
    pthread_mutex_unlock(&threads->lock);
}

void mqlua_threads_free(mqlua_threads *threads)
{
    if (!threads)
        return;
    pthread_mutex_lock(&threads->lock);
    threads->stop = true;
    job_list left = TAILQ_HEAD_INITIALIZER(left);
    TAILQ_CONCAT(&left, &threads->queue, link);
    mqlua_job *job;
    TAILQ_FOREACH(job, &threads->running, link)
    job->cancelled = true;
    pthread_cond_broadcast(&threads->work);
    pthread_mutex_unlock(&threads->lock);
    while ((job = TAILQ_FIRST(&left))) {
        TAILQ_REMOVE(&left, job, link);
        job->drop(job);
    }
    for (size_t i = 0; i < threads->count; i++)
        pthread_join(threads->threads[i], NULL);
    pthread_cond_destroy(&threads->work);
    pthread_mutex_destroy(&threads->lock);
    free(threads);
}
