/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Pieces of work that one thread does when it comes round, shared fairly between those that they belong to.
 *
 * A piece is something that runs for a bounded time: a task that goes on until it waits again. Each belongs
 * to a lane: that of a connection, or that of a policy's own timers. Lanes with work take turns, one piece
 * each; inside a lane the order is that of adding. So whoever has one piece waits for one piece of each other
 * lane at most, however many the others have.
 *
 * A lane may use MQLUA_LANE_CREDIT seconds in a row, and half of the time from then on: after each piece it
 * rests until it has earned what it used. The rest of the time is there for whatever the thread does besides.
 *
 * One thread. Nothing here allocates or fails.
 */

#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>

/* Seconds of work that a lane may do without a rest, and what it earns per second. */
#define MQLUA_LANE_CREDIT 1.0
#define MQLUA_LANE_SHARE  0.5

typedef struct mqlua_lane mqlua_lane;
typedef struct mqlua_lanes mqlua_lanes;

/* Embedded in whatever has work to do. Zeroed memory with run set is a piece in no lane. */
typedef struct mqlua_piece {
    TAILQ_ENTRY(mqlua_piece) link;
    mqlua_lane *lane;                       /* where it waits; NULL: nowhere */
    void (*run)(struct mqlua_piece *piece); /* it is in no lane any more; may add it again, or free it */
} mqlua_piece;

/* Zeroed memory is an empty lane that is attached to nothing. It must be empty before its memory goes. */
struct mqlua_lane {
    TAILQ_HEAD(, mqlua_piece) pieces;
    const void *owner;  /* whoever has it, for rests */
    mqlua_lanes *lanes; /* NULL: what is added waits until the lane is attached */
    enum { MQLUA_LANE_IDLE, MQLUA_LANE_READY, MQLUA_LANE_RESTING } state;
    TAILQ_ENTRY(mqlua_lane) link; /* unless it is idle */
    double credit, counted;       /* seconds that it may use; the moment that this was worked out */
    double rests_until;           /* a moment; 0: it does not rest */
};

struct mqlua_lanes {
    TAILQ_HEAD(, mqlua_lane) ready, resting;
    bool running;
    void (*notify)(void *ud);                  /* there is work, and there was none */
    void (*rests)(void *ud, mqlua_lane *lane); /* it has used up its credit; may be NULL */
    void *ud;
};

void mqlua_lanes_init(mqlua_lanes *lanes, void (*notify)(void *ud), void (*rests)(void *ud, mqlua_lane *lane),
                      void *ud);

/* The lane's pieces run from here on. It was attached to nothing. */
void mqlua_lane_attach(mqlua_lane *lane, mqlua_lanes *lanes);
/* The opposite; its pieces stay in it. */
void mqlua_lane_detach(mqlua_lane *lane);

/* It is somebody else's from here on, with all of its credit. What is in it stays. */
void mqlua_lane_renew(mqlua_lane *lane);

/* A piece that is in a lane already stays where it is. */
void mqlua_lane_add(mqlua_lane *lane, mqlua_piece *piece);
void mqlua_piece_remove(mqlua_piece *piece);

static inline bool mqlua_piece_waits(const mqlua_piece *piece)
{
    return piece->lane != NULL;
}

/* Runs one piece, of the lane whose turn it is. *now is the time (mqlua_time_now) before and after. False
 * when there is none that may run now. */
bool mqlua_lanes_run(mqlua_lanes *lanes, double *now);

/* Whether there is work at that time, and the moment when there will be some in lanes that rest; 0: never. */
bool mqlua_lanes_ready(mqlua_lanes *lanes, double now);
double mqlua_lanes_next(const mqlua_lanes *lanes);
