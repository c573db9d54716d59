/* SPDX-License-Identifier: MIT */

#include "mq/pause.h"
#include "base/time.h"
#include <stddef.h>

void mqlua_pauses_init(mqlua_pauses *pauses, const mqlua_symbols *symbols)
{
    pauses->symbols = symbols;
    TAILQ_INIT(&pauses->queued);
}

void mqlua_pause_begin(mqlua_pause *pause, MQ_Connection *connection, void (*used)(mqlua_pause *pause))
{
    *pause = (mqlua_pause){.connection = connection, .used = used};
}

void mqlua_pause_hand_back(mqlua_pauses *pauses, mqlua_pause *pause, mqlua_hand hand)
{
    if (!pause->connection || pause->queued)
        return;
    pause->hand = hand;
    pause->queued = true;
    TAILQ_INSERT_TAIL(&pauses->queued, pause, link);
}

static void unqueue(mqlua_pauses *pauses, mqlua_pause *pause)
{
    TAILQ_REMOVE(&pauses->queued, pause, link);
    pause->queued = false;
}

void mqlua_pause_kill(mqlua_pauses *pauses, mqlua_pause *pause)
{
    if (!pause->connection)
        return;
    if (pause->queued)
        unqueue(pauses, pause);
    pause->connection = NULL;
}

static void hand_over(const mqlua_symbols *symbols, MQ_Connection *connection, mqlua_hand hand)
{
    if (hand == MQLUA_CONTINUE)
        symbols->hand_continue(connection);
    else if (hand == MQLUA_COMPLETE)
        symbols->hand_complete(connection);
    else
        symbols->hand_retry(connection);
}

bool mqlua_pauses_drain(mqlua_pauses *pauses, double end)
{
    for (mqlua_pause *pause; (pause = TAILQ_FIRST(&pauses->queued));) {
        MQ_Connection *connection = pause->connection;
        mqlua_hand hand = pause->hand;
        unqueue(pauses, pause);
        pause->connection = NULL;
        pause->used(pause); /* the token's memory may be gone from here on */
        hand_over(pauses->symbols, connection, hand);
        if (mqlua_time_now() >= end)
            return !TAILQ_EMPTY(&pauses->queued);
    }
    return false;
}
