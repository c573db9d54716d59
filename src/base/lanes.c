/* SPDX-License-Identifier: MIT */

#include "base/lanes.h"
#include "base/time.h"

#include <stddef.h>

void mqlua_lanes_init(mqlua_lanes *lanes, void (*notify)(void *ud), void (*rests)(void *ud, mqlua_lane *lane),
                      void *ud)
{
    *lanes = (mqlua_lanes){.notify = notify, .rests = rests, .ud = ud};
    TAILQ_INIT(&lanes->ready);
    TAILQ_INIT(&lanes->resting);
}

/* A lane with pieces joins those that are ready, or those that rest. */
static void join(mqlua_lane *lane)
{
    mqlua_lanes *lanes = lane->lanes;
    if (lane->rests_until > 0) {
        lane->state = MQLUA_LANE_RESTING;
        TAILQ_INSERT_TAIL(&lanes->resting, lane, link);
    } else {
        lane->state = MQLUA_LANE_READY;
        TAILQ_INSERT_TAIL(&lanes->ready, lane, link);
    }
    if (!lanes->running && lanes->notify)
        lanes->notify(lanes->ud);
}

static void leave(mqlua_lane *lane)
{
    if (lane->state == MQLUA_LANE_READY)
        TAILQ_REMOVE(&lane->lanes->ready, lane, link);
    else if (lane->state == MQLUA_LANE_RESTING)
        TAILQ_REMOVE(&lane->lanes->resting, lane, link);
    lane->state = MQLUA_LANE_IDLE;
}

void mqlua_lane_attach(mqlua_lane *lane, mqlua_lanes *lanes)
{
    lane->lanes = lanes;
    if (lane->pieces.tqh_last && !TAILQ_EMPTY(&lane->pieces))
        join(lane);
}

void mqlua_lane_detach(mqlua_lane *lane)
{
    leave(lane);
    lane->lanes = NULL;
}

void mqlua_lane_add(mqlua_lane *lane, mqlua_piece *piece)
{
    if (piece->lane)
        return;
    if (!lane->pieces.tqh_last)
        TAILQ_INIT(&lane->pieces);
    piece->lane = lane;
    TAILQ_INSERT_TAIL(&lane->pieces, piece, link);
    if (lane->lanes && lane->state == MQLUA_LANE_IDLE)
        join(lane);
}

void mqlua_lane_renew(mqlua_lane *lane)
{
    bool waits = lane->state != MQLUA_LANE_IDLE;
    if (waits)
        leave(lane);
    lane->credit = lane->counted = lane->rests_until = 0;
    if (waits)
        join(lane);
}

void mqlua_piece_remove(mqlua_piece *piece)
{
    mqlua_lane *lane = piece->lane;
    if (!lane)
        return;
    TAILQ_REMOVE(&lane->pieces, piece, link);
    piece->lane = NULL;
    if (TAILQ_EMPTY(&lane->pieces))
        leave(lane);
}

/* What the lane has earned since it was last looked at, and what it has used. Zeroed memory has all of its
 * credit. */
static void account(mqlua_lanes *lanes, mqlua_lane *lane, double begun, double ended)
{
    double credit = lane->credit + (begun - lane->counted) * MQLUA_LANE_SHARE;
    lane->credit = (credit < MQLUA_LANE_CREDIT ? credit : MQLUA_LANE_CREDIT) - (ended - begun);
    lane->counted = ended;
    if (lane->credit >= 0)
        return;
    lane->rests_until = ended - lane->credit / MQLUA_LANE_SHARE;
    if (lanes->rests)
        lanes->rests(lanes->ud, lane);
}

/* Lanes that have rested enough are ready again. Few rest at a time: each has used a second of the thread. */
static void end_rests(mqlua_lanes *lanes, double now)
{
    mqlua_lane *lane, *following;
    TAILQ_FOREACH_SAFE(lane, &lanes->resting, link, following)
    {
        if (lane->rests_until > now)
            continue;
        TAILQ_REMOVE(&lanes->resting, lane, link);
        lane->rests_until = 0;
        lane->state = MQLUA_LANE_READY;
        TAILQ_INSERT_TAIL(&lanes->ready, lane, link);
    }
}

bool mqlua_lanes_run(mqlua_lanes *lanes, double *now)
{
    if (!TAILQ_EMPTY(&lanes->resting))
        end_rests(lanes, *now);
    mqlua_lane *lane = TAILQ_FIRST(&lanes->ready);
    if (!lane)
        return false;
    mqlua_piece *piece = TAILQ_FIRST(&lane->pieces);
    double begun = *now;
    lanes->running = true;
    mqlua_piece_remove(piece);
    piece->run(piece);
    *now = mqlua_time_now();
    account(lanes, lane, begun, *now);
    if (lane->state != MQLUA_LANE_IDLE) { /* behind the others, or to rest */
        leave(lane);
        join(lane);
    }
    lanes->running = false;
    return true;
}

bool mqlua_lanes_ready(mqlua_lanes *lanes, double now)
{
    if (!TAILQ_EMPTY(&lanes->resting))
        end_rests(lanes, now);
    return !TAILQ_EMPTY(&lanes->ready);
}

double mqlua_lanes_next(const mqlua_lanes *lanes)
{
    const mqlua_lane *lane;
    double next = 0;
    TAILQ_FOREACH(lane, &lanes->resting, link)
    {
        if (next == 0 || lane->rests_until < next)
            next = lane->rests_until;
    }
    return next;
}
