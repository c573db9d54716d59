/* SPDX-License-Identifier: MIT */

#include "mq/pause.h"
#include <stddef.h>

void mqlua_pause_begin(mqlua_pauses *pauses, mqlua_pause *pause, MQ_Connection *connection,
                       void (*used)(mqlua_pause *pause))
{
    *pause = (mqlua_pause){.connection = connection, .used = used};
    pauses->begun++;
}

void mqlua_pause_hand_back(mqlua_pauses *pauses, mqlua_pause *pause, mqlua_hand hand)
{
    if (!pause->connection || pause->queued)
        return;
    pause->hand = hand;
    pause->queued = true;
    pause->next = NULL;
    pause->prev = pauses->last;
    if (pauses->last)
        pauses->last->next = pause;
    else
        pauses->first = pause;
    pauses->last = pause;
}

static void unqueue(mqlua_pauses *pauses, mqlua_pause *pause)
{
    if (pause->prev)
        pause->prev->next = pause->next;
    else
        pauses->first = pause->next;
    if (pause->next)
        pause->next->prev = pause->prev;
    else
        pauses->last = pause->prev;
    pause->queued = false;
}

void mqlua_pause_kill(mqlua_pauses *pauses, mqlua_pause *pause)
{
    if (!pause->connection)
        return;
    if (pause->queued)
        unqueue(pauses, pause);
    pause->connection = NULL;
    pauses->killed++;
}

void mqlua_pauses_drain(mqlua_pauses *pauses)
{
    while (pauses->first) {
        mqlua_pause *pause = pauses->first;
        MQ_Connection *connection = pause->connection;
        mqlua_hand hand = pause->hand;
        unqueue(pauses, pause);
        pause->connection = NULL;
        pauses->handed++;
        pause->used(pause); /* the token's memory may be gone from here on */
        if (hand == MQLUA_CONTINUE)
            pauses->symbols->hand_continue(connection);
        else if (hand == MQLUA_COMPLETE)
            pauses->symbols->hand_complete(connection);
        else
            pauses->symbols->hand_retry(connection);
    }
}
