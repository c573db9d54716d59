/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Pauses: the time between true returned to the host and the one hand-back. A token stands for each; it is
 * used up by exactly one hand-back, or killed when the connection closes first. Hand-backs are queued and
 * carried out by drain alone, as the last action of a turn of the loop: the host may enter our next callback
 * inside.
 */

#include "mq/symbols.h"

typedef enum mqlua_hand { MQLUA_CONTINUE, MQLUA_COMPLETE, MQLUA_RETRY } mqlua_hand;

typedef struct mqlua_pause {
    MQ_Connection *connection; /* NULL: no pause, or used up */
    bool queued;
    mqlua_hand hand;
    void (*used)(struct mqlua_pause *pause); /* right before the hand-back: the owner lets go of the token */
    struct mqlua_pause *next, *prev;
} mqlua_pause;

typedef struct mqlua_pauses {
    const mqlua_symbols *symbols;
    mqlua_pause *first, *last; /* queued hand-backs */
    unsigned long begun, handed, killed;
} mqlua_pauses;

/* The callback is about to return true. */
void mqlua_pause_begin(mqlua_pauses *pauses, mqlua_pause *pause, MQ_Connection *connection,
                       void (*used)(mqlua_pause *pause));

/* Queues the hand-back. Does nothing when the token is used up or queued already. */
void mqlua_pause_hand_back(mqlua_pauses *pauses, mqlua_pause *pause, mqlua_hand hand);

/* The connection is gone, or the hand-back shall never come. used is not called. */
void mqlua_pause_kill(mqlua_pauses *pauses, mqlua_pause *pause);

/* Carries out what is queued, also what is added meanwhile. */
void mqlua_pauses_drain(mqlua_pauses *pauses);
