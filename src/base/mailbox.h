/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Messages from any thread to one thread, the owner of the mailbox. Posting allocates nothing: a message is
 * embedded in whatever it belongs to.
 */

#include "base/list.h"

#include <pthread.h>

typedef struct mqlua_post {
    TAILQ_ENTRY(mqlua_post) link;         /* the mailbox's, from mqlua_mailbox_post until run is called */
    void (*run)(struct mqlua_post *post); /* on the owner's thread; may free the post */
} mqlua_post;

typedef struct mqlua_mailbox {
    pthread_mutex_t lock;                      /* guards posts */
    TAILQ_HEAD(mqlua_posts, mqlua_post) posts; /* oldest first */
    void (*wake)(void *ud);                    /* any thread: the owner shall call mqlua_mailbox_run soon */
    void *ud;
} mqlua_mailbox;

/* An empty mailbox. Never fails. */
void mqlua_mailbox_init(mqlua_mailbox *mailbox, void (*wake)(void *ud), void *ud);

/* No thread posts any more, and the mailbox is empty. */
void mqlua_mailbox_destroy(mqlua_mailbox *mailbox);

/* post->run runs on the owner's thread soon, in the order of posting. The mailbox must outlive the call. Any
 * thread. */
void mqlua_mailbox_post(mqlua_mailbox *mailbox, mqlua_post *post);

/* Runs what was posted before the call. Thread: the owner's. */
void mqlua_mailbox_run(mqlua_mailbox *mailbox);
