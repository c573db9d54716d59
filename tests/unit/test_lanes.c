/* SPDX-License-Identifier: MIT */

/* Fair turns: order, rest, and unlinking in any order. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/lanes.h"
#include "base/time.h"

#include <stdlib.h>

enum { MANY = 100000 };

typedef struct item {
    mqlua_piece piece;
    int number;
    double takes; /* seconds */
    bool again;
    mqlua_lane *lane;
} item;

static int ran[16], count, notified, rested;

static void run(mqlua_piece *piece)
{
    item *i = (item *)piece;
    double end = mqlua_time_now() + i->takes;
    if (count < 16)
        ran[count] = i->number;
    count++;
    while (i->takes > 0 && mqlua_time_now() < end)
        continue;
    if (i->again)
        mqlua_lane_add(i->lane, piece);
}

static void notify(void *ud)
{
    notified++;
}

static void rests(void *ud, mqlua_lane *lane)
{
    rested++;
}

static mqlua_lanes fresh(void)
{
    count = notified = rested = 0;
    return (mqlua_lanes){0};
}

static void lanes_take_turns(void **state)
{
    mqlua_lanes lanes = fresh();
    mqlua_lane one = {0}, other = {0};
    item items[6] = {0};
    double now = mqlua_time_now();
    mqlua_lanes_init(&lanes, notify, rests, NULL);
    mqlua_lane_attach(&other, &lanes);
    for (int i = 0; i < 6; i++) {
        items[i].piece.run = run;
        items[i].number = i;
        mqlua_lane_add(i < 4 ? &one : &other, &items[i].piece);
    }
    assert_int_equal(notified, 1);
    mqlua_lane_attach(&one, &lanes);       /* what was added before runs, too */
    mqlua_lane_add(&one, &items[0].piece); /* it is there already */
    while (mqlua_lanes_run(&lanes, &now))
        continue;
    static const int order[] = {4, 0, 5, 1, 2, 3};
    assert_int_equal(count, 6);
    assert_memory_equal(ran, order, sizeof order);
    assert_false(mqlua_lanes_ready(&lanes, now));
}

static void who_works_too_long_rests(void **state)
{
    mqlua_lanes lanes = fresh();
    mqlua_lane busy = {0}, other = {0};
    item heavy = {.piece.run = run, .takes = 0.3, .again = true, .lane = &busy};
    item light = {.piece.run = run, .number = 1};
    double now = mqlua_time_now();
    mqlua_lanes_init(&lanes, notify, rests, NULL);
    mqlua_lane_attach(&busy, &lanes);
    mqlua_lane_attach(&other, &lanes);
    mqlua_lane_add(&busy, &heavy.piece);
    for (int i = 0; i < 20 && mqlua_lanes_run(&lanes, &now); i++)
        continue;
    assert_int_equal(rested, 1);
    assert_in_range(count, 4, 6);
    assert_true(mqlua_lanes_next(&lanes) > now);
    mqlua_lane_add(&other, &light.piece); /* others go on meanwhile */
    assert_true(mqlua_lanes_run(&lanes, &now));
    assert_false(mqlua_lanes_run(&lanes, &now));
    now = mqlua_lanes_next(&lanes);
    assert_true(mqlua_lanes_ready(&lanes, now));
    mqlua_piece_remove(&heavy.piece);
    assert_false(mqlua_lanes_ready(&lanes, now));
    mqlua_lane_renew(&busy); /* another connection has all of its credit */
    heavy.takes = 0;
    heavy.again = false;
    mqlua_lane_add(&busy, &heavy.piece);
    assert_true(mqlua_lanes_run(&lanes, &now));
}

/* Seconds per piece to add n and take them out again, in an order that seed says. */
static double unlink_all(size_t n, int seed)
{
    mqlua_lanes lanes = fresh();
    mqlua_lane lane = {0};
    item *items = calloc(n, sizeof *items);
    mqlua_lanes_init(&lanes, notify, rests, NULL);
    mqlua_lane_attach(&lane, &lanes);
    double begun = mqlua_time_now();
    for (size_t i = 0; i < n; i++) {
        items[i].piece.run = run;
        mqlua_lane_add(&lane, &items[i].piece);
    }
    for (size_t i = 0; i < n; i++) { /* 7919 divides none of the sizes */
        size_t at = seed == 0 ? i : seed == 1 ? n - 1 - i : i * 7919 % n;
        mqlua_piece_remove(&items[at].piece);
    }
    double took = mqlua_time_now() - begun;
    assert_false(mqlua_lanes_ready(&lanes, begun));
    free(items);
    return took / (double)n;
}

static void unlinking_is_constant_time(void **state)
{
    for (int seed = 0; seed < 3; seed++) {
        double few = unlink_all(1000, seed), many = unlink_all(MANY, seed);
        assert_true(many < 20 * few + 1e-6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanes_take_turns),
        cmocka_unit_test(who_works_too_long_rests),
        cmocka_unit_test(unlinking_is_constant_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
