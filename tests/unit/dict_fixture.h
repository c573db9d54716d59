/* SPDX-License-Identifier: MIT */
#pragma once

/* What the tests of dictionaries share: a clock that they turn, random numbers that are the same each time,
 * and short calls. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/dict.h"

#include <stdlib.h>
#include <string.h>

static uint64_t now = 1000000;

static inline uint64_t test_clock(void *ud)
{
    return now;
}

static inline mqlua_dict *make(size_t capacity, size_t most)
{
    mqlua_dict *dict = mqlua_dict_new(capacity, most);
    assert_non_null(dict);
    mqlua_dict_set_clock(dict, test_clock, NULL);
    return dict;
}

static uint32_t seed = 1;

static inline uint32_t rnd(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)(seed >> 4) * below) >> 28);
}

static inline mqlua_dict_value text_value(const char *text, size_t size)
{
    return (mqlua_dict_value){.type = MQLUA_DICT_TEXT, .text = text, .size = size};
}

static inline mqlua_dict_value number_value(double number)
{
    return (mqlua_dict_value){.type = MQLUA_DICT_NUMBER, .number = number};
}

static inline mqlua_dict_status set(mqlua_dict *dict, const char *key, mqlua_dict_value value, uint64_t ttl)
{
    mqlua_dict_options options = {.ttl = ttl};
    return mqlua_dict_store(dict, key, strlen(key), &value, &options, NULL);
}

static inline mqlua_dict_status get(mqlua_dict *dict, const char *key, mqlua_dict_scratch *scratch,
                                    mqlua_dict_found *found)
{
    return mqlua_dict_get(dict, key, strlen(key), false, 0, scratch, found);
}

/* What dict is as a file, malloc'ed. */
static inline char *saved(mqlua_dict *dict, uint64_t wall, size_t *size)
{
    char *bytes = NULL;
    FILE *file = open_memstream(&bytes, size);
    assert_true(mqlua_dict_save(dict, file, wall));
    fclose(file);
    return bytes;
}
