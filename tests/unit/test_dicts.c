/* SPDX-License-Identifier: MIT */

/* Lists of shared dictionaries, a dictionary that several threads use, and which dictionary goes when another
 * one needs room. */

#include "dict_fixture.h"

#include "base/dicts.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- lists ---- */

static void test_lists(void **state)
{
    enum { MOST = 300 };
    double kept[2 * MOST];
    mqlua_dict_scratch scratch = {0};
    mqlua_dict *dict = make(2 << 20, 2 << 20);
    size_t first = MOST, last = MOST, length;
    for (unsigned n = 0; n < 20000; n++) {
        bool left = rnd(2);
        char text[700];
        double number = n;
        memset(text, 'x', sizeof text);
        snprintf(text, sizeof text, "%.0f", number);
        mqlua_dict_value value =
            rnd(2) ? number_value(number) : text_value(text, strlen(text) + 1 + rnd(200));
        if (rnd(2) && first > 0 && last < 2 * MOST) {
            assert_int_equal(mqlua_dict_push(dict, "list", 4, left, &value, &length), MQLUA_DICT_OK);
            kept[left ? --first : last++] = number;
            assert_int_equal(length, last - first);
        } else {
            mqlua_dict_status status = mqlua_dict_pop(dict, "list", 4, left, &scratch, &value);
            assert_int_equal(status, first == last ? MQLUA_DICT_ABSENT : MQLUA_DICT_OK);
            if (status == MQLUA_DICT_OK)
                assert_true((value.type == MQLUA_DICT_NUMBER ? value.number : strtod(value.text, NULL)) ==
                            kept[left ? first++ : --last]);
            if (first == last)
                first = last = MOST;
        }
        assert_int_equal(mqlua_dict_length(dict, "list", 4, &length), MQLUA_DICT_OK);
        assert_int_equal(length, last - first);
    }
    mqlua_dict_value one = number_value(1);
    set(dict, "plain", one, 0);
    assert_int_equal(mqlua_dict_push(dict, "plain", 5, true, &one, &length), MQLUA_DICT_NOT_LIST);
    assert_int_equal(mqlua_dict_pop(dict, "plain", 5, true, &scratch, &one), MQLUA_DICT_NOT_LIST);
    assert_int_equal(mqlua_dict_length(dict, "plain", 5, &length), MQLUA_DICT_NOT_LIST);
    mqlua_dict_push(dict, "list", 4, true, &one, &length);
    mqlua_dict_found found;
    assert_int_equal(get(dict, "list", &scratch, &found), MQLUA_DICT_IS_LIST);
    set(dict, "list", one, 0);
    mqlua_dict_delete(dict, "list", 4);
    mqlua_dict_delete(dict, "plain", 5);
    mqlua_dict_stats stats;
    mqlua_dict_get_stats(dict, &stats);
    assert_int_equal(stats.used, 0);
    mqlua_dict_free(dict);
    mqlua_dict_scratch_free(&scratch);
}

/* ---- threads ---- */

enum { THREADS = 4, ROUNDS = 10000, SHARED = 40 };

typedef struct worker {
    pthread_t thread;
    mqlua_dict *dict;
    unsigned number;
    uint64_t added;
} worker;

/* What any thread ever wrote under a key is a letter, repeated. */
static void check_text(const mqlua_dict_value *value)
{
    for (size_t i = 1; i < value->size; i++)
        if (value->text[i] != value->text[0])
            fail_msg("a text of two writers");
}

static void *hammer(void *arg)
{
    worker *w = arg;
    mqlua_dict_scratch scratch = {0};
    uint32_t mine = w->number * 7919 + 1;
    char text[900];
    for (unsigned n = 0; n < ROUNDS; n++) {
        mine = mine * 1664525u + 1013904223u;
        char key[32];
        int size = snprintf(key, sizeof key, "shared-%u", (mine >> 8) % SHARED);
        unsigned what = (mine >> 20) % 8;
        mqlua_dict_found found;
        mqlua_dict_value one = {.type = MQLUA_DICT_INTEGER, .integer = 1}, result;
        mqlua_dict_options options = {.ttl = what == 1 ? 1 : 0};
        if (what < 3) {
            size_t length = (mine >> 12) % sizeof text;
            memset(text, 'a' + (int)((mine >> 16) % 26), length);
            mqlua_dict_value value = text_value(text, length);
            mqlua_dict_store(w->dict, key, (size_t)size, &value, &options, NULL);
        } else if (what == 3) {
            mqlua_dict_delete(w->dict, key, (size_t)size);
        } else if (what == 4) {
            key[0] = 'c';
            if (mqlua_dict_incr(w->dict, key, (size_t)size, &one, &one, 0, NULL, &result, NULL) ==
                MQLUA_DICT_OK)
                w->added++;
        } else if (mqlua_dict_get(w->dict, key, (size_t)size, false, w->number, &scratch, &found) ==
                   MQLUA_DICT_OK) {
            check_text(&found.value);
        }
    }
    mqlua_dict_scratch_free(&scratch);
    return NULL;
}

static void test_threads(void **state)
{
    /* in a small one eviction goes on all the time */
    for (size_t capacity = 24 << 10; capacity < 32 << 20; capacity *= 40) {
        mqlua_dict *dict = mqlua_dict_new(capacity, 32 << 20);
        worker workers[THREADS] = {0};
        for (unsigned i = 0; i < THREADS; i++) {
            workers[i].dict = dict;
            workers[i].number = i;
            assert_int_equal(pthread_create(&workers[i].thread, NULL, hammer, &workers[i]), 0);
        }
        for (int i = 0; i < 20; i++) {
            mqlua_dict_resize(dict, i % 2 ? capacity : capacity * 2);
            mqlua_dict_sweep(dict, 0);
            size_t size;
            free(saved(dict, 1, &size));
        }
        uint64_t added = 0;
        for (unsigned i = 0; i < THREADS; i++) {
            pthread_join(workers[i].thread, NULL);
            added += workers[i].added;
        }
        mqlua_dict_scratch scratch = {0};
        int64_t counted = 0, keys = 0;
        for (unsigned i = 0; i < SHARED; i++) {
            char key[32];
            mqlua_dict_found found;
            snprintf(key, sizeof key, "chared-%u", i);
            if (get(dict, key, &scratch, &found) == MQLUA_DICT_OK) {
                counted += found.value.integer;
                keys++;
            }
        }
        assert_int_equal(counted, (int64_t)added + keys); /* the first call of each adds to 1 */
        mqlua_dict_scratch_free(&scratch);
        mqlua_dict_free(dict);
    }
}

/* ---- the dictionaries of a process ---- */

static void look(void *ud, mqlua_shared *shared)
{
    ++*(int *)ud;
}

static mqlua_shared *open_one(mqlua_dicts *dicts, const char *name)
{
    char *error = NULL;
    mqlua_shared *shared = mqlua_dicts_open(dicts, name, 2 * MQLUA_DICT_LEAST, false, 0, &error);
    assert_non_null(shared);
    return shared;
}

/* Looking at all of them, as metrics and files do, makes none of them younger. */
static void test_the_longest_unused_goes(void **state)
{
    mqlua_dicts *dicts = mqlua_dicts_new(5 * MQLUA_DICT_LEAST, NULL, NULL);
    static const char *const names[] = {"first", "second"};
    mqlua_dict_scratch scratch = {0};
    mqlua_dict_found found;
    mqlua_shared *shared[2];
    int seen = 0;
    for (int i = 0; i < 2; i++) {
        shared[i] = open_one(dicts, names[i]);
        set(shared[i]->dict, "key", number_value(i), 0);
    }
    for (int i = 0; i < 2; i++)
        mqlua_dicts_close(dicts, shared[i]);
    mqlua_dicts_each(dicts, look, &seen);
    assert_int_equal(seen, 2);
    mqlua_shared *third = open_one(dicts, "third"), *second = open_one(dicts, "second");
    assert_int_equal(get(second->dict, "key", &scratch, &found), MQLUA_DICT_OK);
    mqlua_dicts_close(dicts, third);
    mqlua_dicts_close(dicts, second);
    mqlua_dict_scratch_free(&scratch);
    mqlua_dicts_free(dicts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_the_longest_unused_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
