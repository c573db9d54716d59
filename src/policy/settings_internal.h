/* SPDX-License-Identifier: MIT */
#pragma once

/* How one key of the settings is described, and how its value is read. Used by settings*.c only. */

#include "policy/settings.h"

#include <jansson.h>

enum { MQLUA_SETTINGS_DEPTH = 3 }; /* of keys in objects in the file */

typedef enum kind {
    PATH,
    TRUTH,
    SECONDS,
    NUMBER,
    COUNT,
    MEMORY,
    CHOICE,
    CHOICE_TRUTH,
    ALLOW,
    NETWORKS,
    FOLDERS, /* without a fallback: NULL */
    GROUP
} kind;

typedef struct choice {
    const char *name;
    int value;
} choice;

typedef struct key {
    const char *name;
    kind kind;
    size_t offset;         /* in mqlua_settings */
    const char *fallback;  /* JSON text; NULL: not set */
    double low, high;      /* of numbers */
    const choice *choices; /* of texts */
    const struct key *keys;
} key;

/* What a value is read with: where it is (for messages) and where it goes. */
typedef struct reader {
    mqlua_settings *settings;
    const char *file, *text;
    size_t size;
    size_t path[MQLUA_SETTINGS_DEPTH];
    size_t depth;
    char **error;
} reader;

/* Reports what is wrong at the place that the reader is at: its key, or its value. Always false. */
bool mqlua_settings_wrong(const reader *r, bool at_key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Reads value, which belongs to k, into r->settings. False with *r->error. */
bool mqlua_settings_value(reader *r, const key *k, json_t *value);

void mqlua_settings_free_list(char **list);
