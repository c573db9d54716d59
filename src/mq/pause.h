/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Pauses: the time between true returned to the host and the one hand-back. A token stands for each; it is
 * used up by exactly one hand-back, or killed when the connection closes first. Hand-backs are queued and
 * carried out by drain alone, as the last action of a turn of the loop: the host may enter our next callback
 * inside.
 */

#include "base/list.h"
#include "mq/symbols.h"

typedef enum mqlua_hand { MQLUA_CONTINUE, MQLUA_COMPLETE, MQLUA_RETRY } mqlua_hand;

typedef struct mqlua_pause {
    MQ_Connection *connection; /* NULL: no pause, or used up */
    bool queued;
    mqlua_hand hand;
    void (*used)(struct mqlua_pause *pause); /* right before the hand-back: the owner lets go of the token */
    TAILQ_ENTRY(mqlua_pause) link;           /* while it is queued */
} mqlua_pause;

typedef struct mqlua_pauses {
    const mqlua_symbols *symbols;
    TAILQ_HEAD(, mqlua_pause) queued; /* hand-backs */
} mqlua_pauses;

void mqlua_pauses_init(mqlua_pauses *pauses, const mqlua_symbols *symbols);

/* The callback is about to return true. */
void mqlua_pause_begin(mqlua_pause *pause, MQ_Connection *connection, void (*used)(mqlua_pause *pause));

/* Queues the hand-back. Does nothing when the token is used up or queued already. */
void mqlua_pause_hand_back(mqlua_pauses *pauses, mqlua_pause *pause, mqlua_hand hand);

/* The connection is gone, or the hand-back shall never come. used is not called. */
void mqlua_pause_kill(mqlua_pauses *pauses, mqlua_pause *pause);

/* Carries out what is queued, oldest first, also what is added meanwhile, until the moment end
 * (mqlua_time_now) has passed: inside a hand-back the next event of the connection may run its handlers. At
 * least one is carried out. True when some are left. */
bool mqlua_pauses_drain(mqlua_pauses *pauses, double end);
