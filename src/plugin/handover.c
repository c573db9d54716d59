/* SPDX-License-Identifier: MIT */

#include "plugin/handover.h"
#include <errno.h>
#include <stdlib.h>
#include <time.h>

static const double PATIENCE = 1;          /* seconds */
enum { SLICE_NANOSECONDS = 50 * 1000000 }; /* between two looks at *stop */

typedef struct question {
    mqlua_post post;
    struct questions *all;
    mqlua_worker *worker;
    mqlua_parcel *answer;
    bool answered;
} question;

/* Shared by the thread that asks and the workers that answer; whoever is last frees it. */
typedef struct questions {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    size_t open; /* not answered yet */
    bool left;   /* nobody waits for answers any more */
    size_t count;
    question list[];
} questions;

static void questions_free(questions *q)
{
    for (size_t i = 0; i < q->count; i++)
        mqlua_parcel_free(q->list[i].answer);
    pthread_cond_destroy(&q->answered);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

/* On the worker's thread, from its loop; or while the loop is freed, when the worker has no state any more.
 */
static void answer(mqlua_post *post)
{
    question *one = (question *)post;
    questions *q = one->all;
    mqlua_state *state = one->worker->state;
    one->answer = state ? mqlua_parcel_pack(&state->env) : NULL;
    pthread_mutex_lock(&q->lock);
    one->answered = true;
    bool last = --q->open == 0;
    bool left = q->left;
    pthread_cond_signal(&q->answered);
    pthread_mutex_unlock(&q->lock);
    if (last && left)
        questions_free(q);
}

static questions *make(const mqlua_place *places, size_t count)
{
    questions *q = calloc(1, sizeof *q + count * sizeof q->list[0]);
    if (!q)
        return NULL;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->answered, NULL);
    q->count = count;
    for (size_t i = 0; i < count; i++)
        q->list[i] = (question){.post = {.run = answer}, .all = q, .worker = places[i].worker};
    return q;
}

/* Workers may end at any time: only those that are still listed are asked. */
static void post_all(mqlua_plugin *plugin, questions *q, const mqlua_place *places)
{
    pthread_mutex_lock(&plugin->lock);
    pthread_mutex_lock(&q->lock);
    mqlua_worker *worker;
    LIST_FOREACH(worker, &plugin->workers, link)
    {
        for (size_t i = 0; i < q->count; i++) {
            if (places[i].number != worker->number)
                continue;
            q->open++;
            mqlua_mailbox_post(mqlua_loop_mailbox(worker->loop), &q->list[i].post);
        }
    }
    pthread_mutex_unlock(&q->lock);
    pthread_mutex_unlock(&plugin->lock);
}

/* Under the lock of q. */
static void wait_for_answers(questions *q, const atomic_bool *stop)
{
    double end = mqlua_loop_now() + PATIENCE;
    while (q->open && !atomic_load(stop) && mqlua_loop_now() < end) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += SLICE_NANOSECONDS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&q->answered, &q->lock, &until);
    }
}

void mqlua_handover_ask(mqlua_plugin *plugin, const mqlua_place *places, mqlua_parcel **parcels, size_t count,
                        const atomic_bool *stop)
{
    questions *q = make(places, count);
    if (!q)
        return;
    post_all(plugin, q, places);
    pthread_mutex_lock(&q->lock);
    wait_for_answers(q, stop);
    for (size_t i = 0; i < count; i++) {
        if (q->list[i].answered) {
            parcels[i] = q->list[i].answer;
            q->list[i].answer = NULL;
        }
    }
    q->left = true;
    size_t open = q->open;
    pthread_mutex_unlock(&q->lock);
    if (!open)
        questions_free(q);
    else if (!atomic_load(stop))
        mqlua_log(&plugin->symbols, MQLUA_LOG_WARN,
                  "mailerq-lua: %zu workers did not answer within a second: what their "
                  "reload handlers return is lost",
                  open);
}
