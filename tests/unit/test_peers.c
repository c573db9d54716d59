/* SPDX-License-Identifier: MIT */

/* The map of a worker's connections. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>

static bool no_memory;

static void *try_calloc(size_t count, size_t size)
{
    return no_memory ? NULL : calloc(count, size);
}

#define calloc try_calloc
#include "plugin/peers.c"
#undef calloc

enum { MANY = 3000 };

static mqlua_peer peers[MANY];
static mqlua_peers map;

static MQ_Connection *host(int i)
{
    return (MQ_Connection *)(uintptr_t)(0x7f0000001000 + 48 * (uintptr_t)i);
}

static int fill(void **state)
{
    for (int i = 0; i < MANY; i++) {
        peers[i] = (mqlua_peer){.host = host(i)};
        if (!mqlua_peers_add(&map, &peers[i]))
            return -1;
    }
    return 0;
}

static int empty(void **state)
{
    mqlua_peers_free(&map);
    return 0;
}

static void found(void **state)
{
    assert_int_equal(map.count, MANY);
    for (int i = 0; i < MANY; i++)
        assert_ptr_equal(mqlua_peers_find(&map, host(i)), &peers[i]);
    assert_null(mqlua_peers_find(&map, host(MANY)));
    for (int i = 0; i < MANY; i += 2)
        mqlua_peers_remove(&map, &peers[i]);
    for (int i = 0; i < MANY; i++)
        assert_ptr_equal(mqlua_peers_find(&map, host(i)), i % 2 ? &peers[i] : NULL);
    assert_int_equal(map.count, MANY / 2);
}

/* Each of them once, also when the one that was given goes. */
static void in_turn(void **state)
{
    int count = 0;
    for (mqlua_peer *peer = mqlua_peers_next(&map, NULL), *next; peer; peer = next) {
        next = mqlua_peers_next(&map, peer);
        assert_false(peer->mapped);
        peer->mapped = true;
        mqlua_peers_remove(&map, peer);
        count++;
    }
    assert_int_equal(count, MANY);
    assert_int_equal(map.count, 0);
    assert_null(mqlua_peers_next(&map, NULL));
    assert_null(mqlua_peers_find(&map, host(0)));
}

/* A map that cannot grow goes on as it is. */
static void without_memory(void **state)
{
    mqlua_peers small = {0};
    no_memory = true;
    assert_false(mqlua_peers_add(&small, &peers[0]));
    assert_null(mqlua_peers_find(&small, host(0)));
    no_memory = false;
    assert_true(mqlua_peers_add(&small, &peers[0]));
    no_memory = true;
    for (int i = 1; i < MANY; i++)
        assert_true(mqlua_peers_add(&small, &peers[i]));
    no_memory = false;
    for (int i = 0; i < MANY; i++)
        assert_ptr_equal(mqlua_peers_find(&small, host(i)), &peers[i]);
    mqlua_peers_free(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(found, fill, empty),
        cmocka_unit_test_setup_teardown(in_turn, fill, empty),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
