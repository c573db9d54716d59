/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The lists of the project: those of <sys/queue.h>, with the loops that allow the current element to be
 * unlinked.
 *
 * Which one to take:
 *   TAILQ   first in, first out; append, insert and unlink in constant time.
 *   LIST    order does not matter; push and unlink in constant time. A head is one pointer, an element two.
 *   SLIST   a stack of spare objects: push and pop only. SLIST_REMOVE walks the list: do not use it.
 *
 * Zeroed memory is an empty LIST or SLIST. A TAILQ needs TAILQ_INIT.
 */

#include <sys/queue.h>

#ifndef TAILQ_FOREACH_SAFE
#define TAILQ_FOREACH_SAFE(element, head, field, following)                                                  \
    for ((element) = TAILQ_FIRST(head); (element) && ((following) = TAILQ_NEXT(element, field), 1);          \
         (element) = (following))
#endif

#ifndef LIST_FOREACH_SAFE
#define LIST_FOREACH_SAFE(element, head, field, following)                                                   \
    for ((element) = LIST_FIRST(head); (element) && ((following) = LIST_NEXT(element, field), 1);            \
         (element) = (following))
#endif
