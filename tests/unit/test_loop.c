/* SPDX-License-Identifier: MIT */

/* Watches whose events change, timers that are fired from inside a turn, and hand-backs in portions. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fake_loop.h"
#include "mq/pause.h"

#include <sys/socket.h>
#include <unistd.h>

/* ---- watches ---- */

static mqlua_watch *watch;
static int seen, calls, change_to;

static void ready(void *data, int events)
{
    calls++;
    seen = events;
    if (change_to >= 0)
        assert_true(mqlua_loop_watch_change(watch, change_to));
}

static int watched(void)
{
    int count = 0;
    for (int i = 0; i < 8; i++)
        count += fake_watchers[i].used;
    return count;
}

static void events_of_a_watch_change(void **state)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(write(pair[1], "x", 1), 1);
    mqlua_loop *loop = fake_loop();
    change_to = -1;
    watch = mqlua_loop_watch(loop, pair[0], MQLUA_READ, ready, NULL);
    assert_non_null(watch);
    assert_int_equal(watched(), 2); /* and the loop's own */
    fake_turn();
    assert_int_equal(calls, 1);
    change_to = 0; /* from inside its own callback: nothing from then on */
    fake_turn();
    assert_int_equal(calls, 2);
    assert_int_equal(watched(), 1);
    change_to = -1;
    assert_true(mqlua_loop_watch_change(watch, MQLUA_READ | MQLUA_WRITE));
    assert_true(mqlua_loop_watch_change(watch, MQLUA_READ | MQLUA_WRITE)); /* the same: nothing to do */
    assert_int_equal(watched(), 2);
    fake_turn();
    assert_int_equal(calls, 3);
    mqlua_loop_unwatch(watch);
    mqlua_loop_free(loop);
    close(pair[0]);
    close(pair[1]);
}

static void a_watch_that_cannot_be_had_can_be_asked_for_again(void **state)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    mqlua_loop *loop = fake_loop();
    watch = mqlua_loop_watch(loop, pair[0], MQLUA_READ, ready, NULL);
    assert_true(mqlua_loop_watch_change(watch, 0));
    for (int i = 0; i < 8; i++)
        fake_watchers[i].used = true;
    assert_false(mqlua_loop_watch_change(watch, MQLUA_WRITE));
    for (int i = 1; i < 8; i++)
        fake_watchers[i].used = false;
    assert_true(mqlua_loop_watch_change(watch, MQLUA_WRITE));
    mqlua_loop_unwatch(watch);
    mqlua_loop_free(loop);
    assert_int_equal(watched(), 0);
    close(pair[0]);
    close(pair[1]);
}

/* ---- timers ---- */

static int fired;

static void fire(mqlua_timer *timer)
{
    fired++;
}

static MQ_Timer *give_timer(MQ_Context *context, float seconds, mqlua_timer_fn fire_it, void *data)
{
    return data; /* any pointer: it never fires by itself */
}

static void timers_fire_when_they_are_due(void **state)
{
    static mqlua_timer timers[1000];
    mqlua_symbols symbols = fake_symbols;
    symbols.start_timer = give_timer;
    mqlua_loop *loop = mqlua_loop_new(&symbols, (MQ_Context *)fake_watchers, 1, 2);
    assert_non_null(loop);
    double now = mqlua_loop_now();
    for (int i = 0; i < 1000; i++)
        assert_true(mqlua_loop_start(loop, &timers[i * 7 % 1000], 1 + i, fire));
    mqlua_loop_fire(loop, now);
    assert_int_equal(fired, 0);
    mqlua_loop_fire(loop, now + 500.5);
    assert_in_range(fired, 499, 502);
    for (int i = 0; i < 1000; i++)
        mqlua_loop_stop(loop, &timers[i]);
    int before = fired;
    mqlua_loop_fire(loop, now + 5000);
    assert_int_equal(fired, before);
    mqlua_loop_free(loop);
}

/* ---- pauses ---- */

static int handed, used;

static void hand(MQ_Connection *connection)
{
    handed++;
}

static void on_used(mqlua_pause *pause)
{
    used++;
}

static void each_token_is_used_once(void **state)
{
    mqlua_symbols symbols = {.hand_continue = hand, .hand_complete = hand, .hand_retry = hand};
    mqlua_pauses pauses;
    mqlua_pause list[4] = {0};
    mqlua_pauses_init(&pauses, &symbols);
    for (int i = 0; i < 4; i++) {
        mqlua_pause_begin(&list[i], (MQ_Connection *)&list[i], on_used);
        mqlua_pause_hand_back(&pauses, &list[i], (mqlua_hand)(i % 3));
        mqlua_pause_hand_back(&pauses, &list[i], MQLUA_CONTINUE);
    }
    mqlua_pause_kill(&pauses, &list[2]);
    assert_true(mqlua_pauses_drain(&pauses, 0)); /* no time: one at least */
    assert_int_equal(handed, 1);
    assert_false(mqlua_pauses_drain(&pauses, mqlua_loop_now() + 60));
    assert_int_equal(handed, 3);
    assert_int_equal(used, 3);
    mqlua_pause_hand_back(&pauses, &list[0], MQLUA_CONTINUE);
    assert_false(mqlua_pauses_drain(&pauses, 0));
    assert_int_equal(handed, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_of_a_watch_change),
        cmocka_unit_test(a_watch_that_cannot_be_had_can_be_asked_for_again),
        cmocka_unit_test(timers_fire_when_they_are_due),
        cmocka_unit_test(each_token_is_used_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
