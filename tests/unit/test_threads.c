/* SPDX-License-Identifier: MIT */

/* Helper threads: every job is done or dropped exactly once, whoever goes first. Worth running under TSan
 * too. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/threads.h"
#include "base/time.h"
#include "fake_loop.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_int worked, dropped, wrong_thread;
static int done;
static atomic_bool signals_open, faults_blocked;

typedef struct task {
    mqlua_job job;
    pthread_t owner;
    sem_t *gate; /* work waits for it */
    atomic_int *ended;
    bool worked;
} task;

static void work(mqlua_job *job)
{
    task *t = (task *)job;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    if (!sigismember(&mask, SIGTERM) || !sigismember(&mask, SIGCHLD))
        atomic_store(&signals_open, true);
    if (sigismember(&mask, SIGSEGV) || sigismember(&mask, SIGBUS) || sigismember(&mask, SIGABRT))
        atomic_store(&faults_blocked, true);
    if (pthread_equal(pthread_self(), t->owner))
        atomic_fetch_add(&wrong_thread, 1);
    if (t->gate)
        sem_wait(t->gate);
    t->worked = true;
    atomic_fetch_add(&worked, 1);
}

static void job_done(mqlua_job *job)
{
    task *t = (task *)job;
    assert_true(t->worked);
    assert_true(pthread_equal(pthread_self(), t->owner));
    done++;
    free(t);
}

static void job_drop(mqlua_job *job)
{
    atomic_fetch_add(&dropped, 1);
    free(job);
}

static task *make(sem_t *gate)
{
    task *t = calloc(1, sizeof *t);
    t->job = (mqlua_job){.work = work, .done = job_done, .drop = job_drop};
    t->owner = pthread_self();
    t->gate = gate;
    return t;
}

static int reset(void **state)
{
    done = 0;
    worked = dropped = wrong_thread = 0;
    return 0;
}

static void results_come_back(void **state)
{
    mqlua_threads *threads = mqlua_threads_new();
    mqlua_loop *loop = fake_loop();
    for (int i = 0; i < 500; i++)
        assert_true(mqlua_threads_submit(threads, mqlua_loop_mailbox(loop), &make(NULL)->job));
    while (done < 500)
        fake_turn();
    assert_int_equal(worked, 500);
    assert_int_equal(dropped, 0);
    assert_int_equal(wrong_thread, 0);
    assert_false(signals_open);
    assert_false(faults_blocked);
    mqlua_threads_detach(threads, mqlua_loop_mailbox(loop));
    mqlua_loop_free(loop);
    mqlua_threads_free(threads);
}

/* Queued, running and posted ones: each is dropped, none is done. */
static void cancelled(void **state)
{
    sem_t gate;
    mqlua_job *jobs[20];
    sem_init(&gate, 0, 0);
    mqlua_threads *threads = mqlua_threads_new();
    mqlua_loop *loop = fake_loop();
    for (int i = 0; i < 20; i++) {
        jobs[i] = &make(&gate)->job;
        assert_true(mqlua_threads_submit(threads, mqlua_loop_mailbox(loop), jobs[i]));
    }
    for (int i = 10; i < 20; i++)
        mqlua_job_cancel(jobs[i]); /* at most four run */
    assert_int_equal(dropped, 10);
    for (int i = 0; i < 10; i++)
        sem_post(&gate);
    while (atomic_load(&worked) < 10)
        usleep(1000);
    for (int i = 0; i < 10; i++)
        mqlua_job_cancel(jobs[i]); /* all worked; most are posted, none delivered */
    mqlua_threads_detach(threads, mqlua_loop_mailbox(loop));
    mqlua_loop_free(loop);
    mqlua_threads_free(threads);
    assert_int_equal(dropped, 20);
    assert_int_equal(done, 0);
    sem_destroy(&gate);
}

/* The loop goes while jobs run: nobody waits for them, and they find nobody to post to. Whoever submitted
 * them may cancel them before or after that, while they run or when they have worked. */
static void worker_goes(void **state)
{
    for (int order = 0; order < 3; order++) {
        sem_t gate;
        mqlua_job *jobs[20];
        reset(NULL);
        sem_init(&gate, 0, 0);
        mqlua_threads *threads = mqlua_threads_new();
        mqlua_loop *loop = fake_loop();
        for (int i = 0; i < 20; i++) {
            jobs[i] = &make(&gate)->job;
            assert_true(mqlua_threads_submit(threads, mqlua_loop_mailbox(loop), jobs[i]));
        }
        for (int i = 0; order == 0 && i < 20; i++)
            mqlua_job_cancel(jobs[i]);
        mqlua_threads_detach(threads, mqlua_loop_mailbox(loop));
        mqlua_loop_free(loop);
        if (order == 2)
            for (int i = 0; i < 20; i++)
                sem_post(&gate);
        for (int i = 0; order > 0 && i < 20; i++)
            mqlua_job_cancel(jobs[i]);
        for (int i = 0; order < 2 && i < 20; i++)
            sem_post(&gate);
        mqlua_threads_free(threads);
        assert_int_equal(dropped, 20);
        assert_int_equal(done, 0);
        assert_true(worked <= 4);
        sem_destroy(&gate);
    }
}

static void full(void **state)
{
    sem_t gate;
    int accepted = 0;
    sem_init(&gate, 0, 0);
    mqlua_threads *threads = mqlua_threads_new();
    mqlua_loop *loop = fake_loop();
    for (int i = 0; i < 1500; i++) {
        task *t = make(&gate);
        if (mqlua_threads_submit(threads, mqlua_loop_mailbox(loop), &t->job))
            accepted++;
        else
            free(t);
    }
    assert_in_range(accepted, 1000, 1004);
    for (int i = 0; i < accepted; i++)
        sem_post(&gate);
    while (done < accepted)
        fake_turn();
    mqlua_threads_detach(threads, mqlua_loop_mailbox(loop));
    mqlua_loop_free(loop);
    mqlua_threads_free(threads);
    sem_destroy(&gate);
}

/* Several workers come and go with jobs under way; each job ends once. */
typedef struct churn {
    mqlua_threads *threads;
    atomic_int *submitted, *ended;
} churn;

static void count_end(mqlua_job *job)
{
    atomic_fetch_add(((task *)job)->ended, 1);
    free(job);
}

static void *worker(void *arg)
{
    churn *c = arg;
    for (int round = 0; round < 100; round++) {
        mqlua_loop *loop = mqlua_loop_new(&fake_symbols, NULL, 1, 2);
        mqlua_job *jobs[5];
        int count = 0;
        if (!loop)
            return arg;
        for (int i = 0; i < 5; i++) {
            task *t = make(NULL);
            t->ended = c->ended;
            t->job.done = t->job.drop = count_end;
            if (mqlua_threads_submit(c->threads, mqlua_loop_mailbox(loop), &t->job))
                jobs[count++] = &t->job;
            else
                free(t);
        }
        atomic_fetch_add(c->submitted, count);
        /* The loop never turns, so none can be done yet. */
        for (int i = 0; i < count; i += 2)
            mqlua_job_cancel(jobs[i]);
        if (round % 2)
            mqlua_threads_detach(c->threads, mqlua_loop_mailbox(loop));
        for (int i = 1; i < count; i += 2)
            mqlua_job_cancel(jobs[i]);
        mqlua_threads_detach(c->threads, mqlua_loop_mailbox(loop));
        mqlua_loop_free(loop);
    }
    return NULL;
}

static void churning(void **state)
{
    atomic_int submitted = 0, ended = 0;
    churn c = {mqlua_threads_new(), &submitted, &ended};
    pthread_t workers[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&workers[i], NULL, worker, &c), 0);
    for (int i = 0; i < 3; i++) {
        void *failed;
        pthread_join(workers[i], &failed);
        assert_null(failed);
    }
    mqlua_threads_free(c.threads);
    assert_int_equal(submitted, 1500);
    assert_int_equal(ended, 1500);
}

static void errand(void *gate)
{
    sem_wait(gate);
    atomic_fetch_add(&worked, 1);
    sem_post(gate); /* for whoever looks at the result */
}

/* What takes too long goes on by itself, and is not lost. */
static void waited_for_in_vain(void **state)
{
    sem_t gate;
    sem_init(&gate, 0, 0);
    double begun = mqlua_time_now();
    assert_false(mqlua_threads_do("errand", errand, &gate, begun + 0.05));
    assert_true(mqlua_time_now() >= begun + 0.05);
    assert_int_equal(atomic_load(&worked), 0);
    sem_post(&gate);
    while (atomic_load(&worked) == 0)
        usleep(1000);
    assert_true(mqlua_threads_do("errand", errand, &gate, mqlua_time_now() + 60));
    assert_int_equal(atomic_load(&worked), 2);
    sem_destroy(&gate);
}

static void unused(void **state)
{
    mqlua_threads_free(mqlua_threads_new());
    mqlua_threads_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(results_come_back, reset),  cmocka_unit_test_setup(cancelled, reset),
        cmocka_unit_test_setup(worker_goes, reset),        cmocka_unit_test_setup(full, reset),
        cmocka_unit_test_setup(churning, reset),           cmocka_unit_test_setup(unused, reset),
        cmocka_unit_test_setup(waited_for_in_vain, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
