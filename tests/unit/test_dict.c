/* SPDX-License-Identifier: MIT */

/* The shared dictionary against a model, at its capacity, and through files. */

#include "dict_fixture.h"

/* ---- the model ---- */

enum { KEYS = 150, LONGEST = 700 };

typedef struct model_entry {
    mqlua_dict_type type; /* NONE: there is none */
    double number;
    char text[LONGEST];
    size_t size;
    uint64_t expiry;
    uint32_t flags;
} model_entry;

static model_entry model[KEYS];

/* Keys of all lengths around the borders of chunks. */
static size_t key_of(unsigned i, char key[400])
{
    size_t size = 1 + (i * 37) % 300;
    memset(key, 'k', size);
    int used = snprintf(key, 12, "%u", i);
    key[used] = 'k';
    return size > (size_t)used ? size : (size_t)used;
}

static bool alive(const model_entry *m)
{
    return m->type != MQLUA_DICT_NONE && (!m->expiry || m->expiry > now);
}

static mqlua_dict_value random_value(char text[LONGEST], bool list)
{
    unsigned kind = rnd(list ? 2 : 3);
    if (kind == 0)
        return number_value(rnd(1000));
    if (kind == 2)
        return (mqlua_dict_value){.type = MQLUA_DICT_BOOLEAN, .boolean = rnd(2)};
    size_t size = rnd(4) ? rnd(60) : rnd(LONGEST);
    for (size_t i = 0; i < size; i++)
        text[i] = (char)rnd(256);
    return text_value(text, size);
}

static void remember(model_entry *m, const mqlua_dict_value *value, uint64_t ttl, uint32_t flags)
{
    m->type = value->type;
    m->number = value->type == MQLUA_DICT_NUMBER ? value->number
                                                 : value->type == MQLUA_DICT_BOOLEAN && value->boolean;
    m->size = value->type == MQLUA_DICT_TEXT ? value->size : 0;
    if (m->size)
        memcpy(m->text, value->text, m->size);
    m->expiry = ttl ? now + ttl : 0;
    m->flags = flags;
}

static void check_one(mqlua_dict *dict, unsigned i, mqlua_dict_scratch *scratch)
{
    char key[400];
    size_t size = key_of(i, key);
    mqlua_dict_found found;
    mqlua_dict_status status = mqlua_dict_get(dict, key, size, false, 0, scratch, &found);
    const model_entry *m = &model[i];
    if (!alive(m)) {
        assert_int_equal(status, MQLUA_DICT_ABSENT);
        return;
    }
    assert_int_equal(status, MQLUA_DICT_OK);
    assert_int_equal(found.value.type, m->type);
    assert_int_equal(found.flags, m->flags);
    if (m->type == MQLUA_DICT_TEXT) {
        assert_int_equal(found.value.size, m->size);
        assert_memory_equal(found.value.text, m->text, m->size);
    } else {
        assert_true(m->type == MQLUA_DICT_NUMBER ? found.value.number == m->number
                                                 : found.value.boolean == (m->number != 0));
    }
}

static void step_store(mqlua_dict *dict, unsigned i, const char *key, size_t size)
{
    char text[LONGEST];
    mqlua_dict_value value = random_value(text, false);
    mqlua_dict_options options = {.mode = (mqlua_dict_mode)rnd(3),
                                  .ttl = rnd(2) ? 1 + rnd(50) : 0,
                                  .flags = rnd(2) ? rnd(1000) : 0,
                                  .safe = rnd(2)};
    bool there = alive(&model[i]), forced;
    mqlua_dict_status want = options.mode == MQLUA_DICT_ADD && there        ? MQLUA_DICT_EXISTS
                             : options.mode == MQLUA_DICT_REPLACE && !there ? MQLUA_DICT_ABSENT
                                                                            : MQLUA_DICT_OK;
    assert_int_equal(mqlua_dict_store(dict, key, size, &value, &options, &forced), want);
    assert_false(forced);
    if (want == MQLUA_DICT_OK)
        remember(&model[i], &value, options.ttl, options.flags);
}

static void step_incr(mqlua_dict *dict, unsigned i, const char *key, size_t size)
{
    mqlua_dict_value step = number_value(rnd(10)), init = number_value(100), result;
    bool with_init = rnd(2);
    uint64_t ttl = rnd(2) ? 20 : 0;
    mqlua_dict_status status =
        mqlua_dict_incr(dict, key, size, &step, with_init ? &init : NULL, ttl, NULL, &result, NULL);
    model_entry *m = &model[i];
    if (!alive(m)) {
        assert_int_equal(status, with_init ? MQLUA_DICT_OK : MQLUA_DICT_ABSENT);
        if (!with_init)
            return;
        remember(m, &result, ttl, 0);
        assert_true(result.number == 100 + step.number);
    } else if (m->type != MQLUA_DICT_NUMBER) {
        assert_int_equal(status, MQLUA_DICT_NOT_NUMBER);
    } else {
        assert_int_equal(status, MQLUA_DICT_OK);
        m->number += step.number;
        assert_true(result.number == m->number);
    }
}

static void step_swap(mqlua_dict *dict, unsigned i, const char *key, size_t size)
{
    char text[LONGEST];
    model_entry *m = &model[i];
    mqlua_dict_value expected = {.type = alive(m) ? m->type : MQLUA_DICT_NONE},
                     value = random_value(text, false);
    mqlua_dict_options options = {0};
    bool wrong = rnd(2);
    if (expected.type == MQLUA_DICT_TEXT)
        expected = text_value(m->text, m->size);
    else if (expected.type == MQLUA_DICT_NUMBER)
        expected.number = m->number;
    else
        expected.boolean = m->number != 0;
    if (wrong)
        expected = number_value(-1);
    mqlua_dict_status status = mqlua_dict_swap(dict, key, size, &expected, &value, &options);
    assert_int_equal(status, wrong ? MQLUA_DICT_CHANGED : MQLUA_DICT_OK);
    if (!wrong)
        remember(m, &value, 0, 0);
}

static void step_expiry(mqlua_dict *dict, unsigned i, const char *key, size_t size)
{
    uint64_t ttl = rnd(2) ? 1 + rnd(100) : 0, left;
    model_entry *m = &model[i];
    mqlua_dict_status want = alive(m) ? MQLUA_DICT_OK : MQLUA_DICT_ABSENT;
    assert_int_equal(mqlua_dict_expire(dict, key, size, ttl), want);
    if (alive(m))
        m->expiry = ttl ? now + ttl : 0;
    assert_int_equal(mqlua_dict_ttl(dict, key, size, &left), want);
    if (want == MQLUA_DICT_OK)
        assert_int_equal(left, ttl);
}

static void random_steps(mqlua_dict *dict, unsigned steps, mqlua_dict_scratch *scratch)
{
    char key[400];
    for (unsigned n = 0; n < steps; n++) {
        unsigned i = rnd(KEYS), what = rnd(10);
        size_t size = key_of(i, key);
        now += rnd(3);
        if (what < 4) {
            step_store(dict, i, key, size);
        } else if (what < 6) {
            step_incr(dict, i, key, size);
        } else if (what == 6) {
            step_swap(dict, i, key, size);
        } else if (what == 7) {
            step_expiry(dict, i, key, size);
        } else if (what == 8) {
            mqlua_dict_delete(dict, key, size);
            model[i].type = MQLUA_DICT_NONE;
        } else if (rnd(50) == 0) {
            mqlua_dict_sweep(dict, rnd(3));
        }
        check_one(dict, i, scratch);
    }
    for (unsigned i = 0; i < KEYS; i++)
        check_one(dict, i, scratch);
}

static size_t model_count(void)
{
    size_t count = 0;
    for (unsigned i = 0; i < KEYS; i++)
        count += alive(&model[i]);
    return count;
}

static void test_model(void **state)
{
    mqlua_dict_scratch scratch = {0};
    for (seed = 1; seed < 8;) {
        uint32_t first = seed;
        memset(model, 0, sizeof model);
        mqlua_dict *dict = make(first % 2 ? 300 << 10 : 20 << 20, 30 << 20);
        random_steps(dict, 20000, &scratch);
        char *keys;
        size_t count;
        assert_true(mqlua_dict_keys(dict, 0, &keys, &count));
        assert_int_equal(count, model_count());
        free(keys);
        assert_true(mqlua_dict_resize(dict, 25 << 20));
        random_steps(dict, 5000, &scratch);
        mqlua_dict_flush(dict);
        mqlua_dict_sweep(dict, 0);
        mqlua_dict_stats stats;
        mqlua_dict_get_stats(dict, &stats);
        assert_int_equal(stats.entries, 0);
        assert_int_equal(stats.used, 0);
        mqlua_dict_free(dict);
        seed = first + 1;
    }
    mqlua_dict_scratch_free(&scratch);
}

/* ---- at the capacity ---- */

static void test_capacity(void **state)
{
    mqlua_dict_scratch scratch = {0};
    for (size_t capacity = MQLUA_DICT_LEAST; capacity < 40 << 20; capacity *= 7) {
        mqlua_dict *dict = make(capacity, capacity);
        mqlua_dict_stats stats;
        char key[64], text[3000];
        memset(text, 't', sizeof text);
        for (unsigned i = 0; i < capacity / 100 + 3000; i++) {
            snprintf(key, sizeof key, "key-%u", i);
            mqlua_dict_status status = set(dict, key, text_value(text, rnd(20) ? rnd(100) : rnd(3000)), 0);
            mqlua_dict_found found;
            assert_int_equal(status, MQLUA_DICT_OK);
            assert_int_equal(get(dict, key, &scratch, &found), MQLUA_DICT_OK);
            if (i % 500 == 0) {
                mqlua_dict_get_stats(dict, &stats);
                assert_true(stats.used <= capacity);
            }
        }
        mqlua_dict_get_stats(dict, &stats);
        assert_true(stats.used <= capacity && stats.evicted > 0);
        assert_true(stats.used > capacity / 2); /* what lies about free is little */
        mqlua_dict_free(dict);
    }
    mqlua_dict_scratch_free(&scratch);
}

/* The entry that was written least recently goes, unless it was read; what incr made stays. */
static void test_order(void **state)
{
    mqlua_dict_scratch scratch = {0};
    mqlua_dict *dict = make(100 << 10, 100 << 10);
    mqlua_dict_value one = number_value(1), result;
    mqlua_dict_found found;
    char key[64];
    bool forced = false;
    assert_int_equal(mqlua_dict_incr(dict, "count", 5, &one, &one, 0, NULL, &result, NULL), MQLUA_DICT_OK);
    for (unsigned i = 1; !forced; i++) {
        snprintf(key, sizeof key, "key-%u", i);
        mqlua_dict_options options = {0};
        if (i == 10)
            assert_int_equal(get(dict, "key-1", &scratch, &found), MQLUA_DICT_OK);
        assert_int_equal(mqlua_dict_store(dict, key, strlen(key), &one, &options, &forced), MQLUA_DICT_OK);
    }
    assert_int_equal(get(dict, "key-1", &scratch, &found), MQLUA_DICT_OK);
    assert_int_equal(get(dict, "key-2", &scratch, &found), MQLUA_DICT_ABSENT);
    assert_int_equal(get(dict, "key-3", &scratch, &found), MQLUA_DICT_OK);
    assert_int_equal(get(dict, "count", &scratch, &found), MQLUA_DICT_OK);
    /* nothing but counters: no room, and each is still there */
    mqlua_dict_status status = MQLUA_DICT_OK;
    unsigned made = 0;
    for (; status == MQLUA_DICT_OK && made < 100000; made++) {
        snprintf(key, sizeof key, "count-%u", made);
        status = mqlua_dict_incr(dict, key, strlen(key), &one, &one, 0, NULL, &result, NULL);
    }
    assert_int_equal(status, MQLUA_DICT_NO_MEMORY);
    for (unsigned i = 0; i + 1 < made; i++) {
        snprintf(key, sizeof key, "count-%u", i);
        assert_int_equal(get(dict, key, &scratch, &found), MQLUA_DICT_OK);
    }
    mqlua_dict_free(dict);
    mqlua_dict_scratch_free(&scratch);
}

/* A value that was there stays when the new one has no room; one that never fits evicts nobody. */
static void test_no_room(void **state)
{
    mqlua_dict_scratch scratch = {0};
    mqlua_dict *dict = make(MQLUA_DICT_LEAST, MQLUA_DICT_LEAST);
    mqlua_dict_found found;
    static char large[100000];
    mqlua_dict_options options = {.safe = true};
    mqlua_dict_value value = text_value(large, 6000);
    bool forced;
    assert_int_equal(set(dict, "a", number_value(1), 0), MQLUA_DICT_OK);
    assert_int_equal(set(dict, "b", text_value(large, 5000), 0), MQLUA_DICT_OK);
    assert_int_equal(mqlua_dict_store(dict, "a", 1, &value, &options, NULL), MQLUA_DICT_NO_MEMORY);
    assert_int_equal(get(dict, "a", &scratch, &found), MQLUA_DICT_OK);
    assert_true(found.value.number == 1);
    options.safe = false;
    value.size = sizeof large;
    assert_int_equal(mqlua_dict_store(dict, "a", 1, &value, &options, &forced), MQLUA_DICT_NO_MEMORY);
    assert_false(forced);
    assert_int_equal(get(dict, "b", &scratch, &found), MQLUA_DICT_OK);
    value.size = 6000;
    assert_int_equal(mqlua_dict_store(dict, "a", 1, &value, &options, &forced), MQLUA_DICT_OK);
    assert_true(forced);
    mqlua_dict_free(dict);
    mqlua_dict_scratch_free(&scratch);
}

static void test_shrink(void **state)
{
    mqlua_dict *dict = make(20 << 20, 20 << 20);
    mqlua_dict_stats stats;
    char key[64];
    for (unsigned i = 0; i < 100000; i++) {
        snprintf(key, sizeof key, "key-%u", i);
        set(dict, key, number_value(i), 0);
    }
    assert_true(mqlua_dict_resize(dict, 1 << 20));
    mqlua_dict_get_stats(dict, &stats);
    assert_true(stats.used <= 1 << 20 && stats.entries > 10000);
    assert_false(mqlua_dict_resize(dict, (20 << 20) + 1000));
    assert_true(mqlua_dict_resize(dict, 20 << 20));
    for (unsigned i = 0; i < 100000; i++) {
        snprintf(key, sizeof key, "key-%u", i);
        assert_int_equal(set(dict, key, number_value(i), 0), MQLUA_DICT_OK);
    }
    mqlua_dict_get_stats(dict, &stats);
    assert_int_equal(stats.entries, 100000);
    mqlua_dict_free(dict);
}

/* ---- files ---- */

static void test_files(void **state)
{
    mqlua_dict_scratch scratch = {0};
    char *error = NULL;
    size_t size, length;
    seed = 99;
    memset(model, 0, sizeof model);
    mqlua_dict *dict = make(20 << 20, 20 << 20), *copy = make(4 << 20, 4 << 20);
    random_steps(dict, 20000, &scratch);
    for (int i = 0; i < 10; i++) {
        mqlua_dict_value value = i % 2 ? number_value(i) : text_value("nine hundred", (size_t)i);
        mqlua_dict_push(dict, "a list", 6, false, &value, &length);
    }
    char *bytes = saved(dict, 5000, &size);
    now += 10;
    assert_true(mqlua_dict_load(copy, bytes, size, 5010, &error));
    for (unsigned i = 0; i < KEYS; i++)
        check_one(copy, i, &scratch);
    for (int i = 0; i < 10; i++) {
        mqlua_dict_value value;
        assert_int_equal(mqlua_dict_pop(copy, "a list", 6, true, &scratch, &value), MQLUA_DICT_OK);
        assert_true(i % 2 ? value.number == i : value.size == (size_t)i);
    }
    mqlua_dict_free(copy);
    /* each byte that is wrong, and each place to cut */
    for (size_t i = 0; i < size; i += 1 + rnd((uint32_t)size / 200)) {
        copy = make(4 << 20, 4 << 20);
        char *damaged = malloc(size);
        memcpy(damaged, bytes, size);
        damaged[i] ^= (char)(1 + rnd(255));
        bool loaded = mqlua_dict_load(copy, damaged, i % 2 ? size : i, 5000, &error);
        assert_false(loaded);
        assert_non_null(error);
        mqlua_dict_stats stats;
        mqlua_dict_get_stats(copy, &stats);
        assert_int_equal(stats.entries, 0);
        free(error);
        error = NULL;
        free(damaged);
        mqlua_dict_free(copy);
    }
    free(bytes);
    mqlua_dict_free(dict);
    mqlua_dict_scratch_free(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),   cmocka_unit_test(test_capacity), cmocka_unit_test(test_order),
        cmocka_unit_test(test_no_room), cmocka_unit_test(test_shrink),   cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
