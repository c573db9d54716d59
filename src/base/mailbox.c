/* SPDX-License-Identifier: MIT */

#include "base/mailbox.h"

void mqlua_mailbox_init(mqlua_mailbox *mailbox, void (*wake)(void *ud), void *ud)
{
    pthread_mutex_init(&mailbox->lock, NULL);
    TAILQ_INIT(&mailbox->posts);
    mailbox->wake = wake;
    mailbox->ud = ud;
}

void mqlua_mailbox_destroy(mqlua_mailbox *mailbox)
{
    pthread_mutex_destroy(&mailbox->lock);
}

void mqlua_mailbox_post(mqlua_mailbox *mailbox, mqlua_post *post)
{
    pthread_mutex_lock(&mailbox->lock);
    TAILQ_INSERT_TAIL(&mailbox->posts, post, link);
    pthread_mutex_unlock(&mailbox->lock);
    mailbox->wake(mailbox->ud);
}

void mqlua_mailbox_run(mqlua_mailbox *mailbox)
{
    TAILQ_HEAD(, mqlua_post) posts = TAILQ_HEAD_INITIALIZER(posts);
    pthread_mutex_lock(&mailbox->lock);
    TAILQ_CONCAT(&posts, &mailbox->posts, link);
    pthread_mutex_unlock(&mailbox->lock);
    for (mqlua_post *post; (post = TAILQ_FIRST(&posts));) {
        TAILQ_REMOVE(&posts, post, link);
        post->run(post);
    }
}
