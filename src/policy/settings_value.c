/* SPDX-License-Identifier: MIT */
#include "policy/settings_internal.h"
#include "base/ascii.h"
#include "base/cidr.h"
#include "base/error.h"
#include "base/number.h"
#include "policy/locate.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool mqlua_settings_wrong(const reader *r, bool at_key, const char *format, ...)
{
    char text[512];
    int line, column;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    mqlua_locate(r->text, r->size, r->path, r->depth, at_key, &line, &column);
    mqlua_error_set(r->error, "%s:%d:%d: %s", r->file, line, column, text);
    return false;
}

static bool read_path(const reader *r, const key *k, json_t *value, char **to)
{
    const char *text = json_string_value(value);
    if (!text || text[0] != '/')
        return mqlua_settings_wrong(r, false, "%s must be an absolute path, such as %s", k->name,
                                    k->fallback);
    char *copy = strdup(text);
    if (!copy)
        return mqlua_settings_wrong(r, false, "not enough memory");
    free(*to);
    *to = copy;
    return true;
}

static bool complain_range(const reader *r, const key *k)
{
    char low[32], high[32];
    mqlua_number_format(k->low, low);
    mqlua_number_format(k->high, high);
    return mqlua_settings_wrong(r, false, "%s must be from %s to %s%s", k->name, low, high,
                                k->kind == SECONDS ? " seconds" : "");
}

static bool read_number(const reader *r, const key *k, json_t *value, double *to)
{
    const char *unit = k->kind == SECONDS ? " of seconds" : "";
    if (!json_is_number(value))
        return mqlua_settings_wrong(r, false, "%s must be a number%s", k->name, unit);
    double number = json_number_value(value);
    if (number < k->low || number > k->high)
        return complain_range(r, k);
    *to = number;
    return true;
}

static bool read_count(const reader *r, const key *k, json_t *value, int *to)
{
    if (!json_is_integer(value))
        return mqlua_settings_wrong(r, false, "%s must be an integer", k->name);
    json_int_t number = json_integer_value(value);
    if ((double)number < k->low || (double)number > k->high)
        return mqlua_settings_wrong(r, false, "%s must be from %.0f to %.0f", k->name, k->low, k->high);
    *to = (int)number;
    return true;
}

/* Bytes, or text such as "64MB" (units of 1024). -1 when it is neither. */
static double memory_value(json_t *value)
{
    static const choice units[] = {{"", 0}, {"B", 0}, {"KB", 10}, {"MB", 20}, {"GB", 30}, {NULL, 0}};
    if (json_is_integer(value))
        return (double)json_integer_value(value);
    const char *text = json_string_value(value);
    if (!text || !mqlua_ascii_is_digit(text[0]))
        return -1;
    char *unit;
    errno = 0;
    unsigned long long number = strtoull(text, &unit, 10);
    while (*unit == ' ')
        unit++;
    for (const choice *c = units; errno == 0 && c->name; c++)
        if (mqlua_ascii_equal(unit, c->name))
            return ldexp((double)number, c->value);
    return -1;
}

static bool read_memory(const reader *r, const key *k, json_t *value, size_t *to)
{
    double bytes = memory_value(value);
    if (bytes != 0 && (bytes < k->low || bytes > k->high))
        return mqlua_settings_wrong(
            r, false, "%s must be bytes or text such as \"64MB\", from 1MB to 64GB, or 0 for no limit",
            k->name);
    *to = (size_t)bytes;
    return true;
}

static const choice *find_choice(const choice *choices, const char *name)
{
    for (; name && choices->name; choices++)
        if (strcmp(choices->name, name) == 0)
            return choices;
    return NULL;
}

static void list_choices(const choice *choices, char *out, size_t size)
{
    size_t used = 0;
    out[0] = 0;
    for (; choices->name && used < size; choices++)
        used += (size_t)snprintf(out + used, size - used, "%s\"%s\"", used ? ", " : "", choices->name);
}

static bool read_choice(const reader *r, const key *k, json_t *value, int *to)
{
    char names[256];
    const choice *found = find_choice(k->choices, json_string_value(value));
    if (!found) {
        list_choices(k->choices, names, sizeof names);
        return mqlua_settings_wrong(r, false, "%s must be one of %s", k->name, names);
    }
    *to = found->value;
    return true;
}

static bool read_allow(reader *r, const key *k, json_t *value, unsigned *to)
{
    char names[256];
    if (!json_is_array(value))
        return mqlua_settings_wrong(r, false, "%s must be a list", k->name);
    unsigned bits = 0;
    r->depth++;
    for (size_t i = 0; i < json_array_size(value); i++) {
        const choice *found = find_choice(k->choices, json_string_value(json_array_get(value, i)));
        r->path[r->depth - 1] = i;
        if (!found) {
            list_choices(k->choices, names, sizeof names);
            return mqlua_settings_wrong(r, false, "%s knows %s", k->name, names);
        }
        bits |= (unsigned)found->value;
    }
    r->depth--;
    *to = bits;
    return true;
}

void mqlua_settings_free_list(char **list)
{
    for (char **item = list; item && *item; item++)
        free(*item);
    free(list);
}

static bool read_networks(reader *r, const key *k, json_t *value, char ***to)
{
    if (!json_is_array(value))
        return mqlua_settings_wrong(r, false, "%s must be a list", k->name);
    char **list = calloc(json_array_size(value) + 1, sizeof *list);
    mqlua_cidr *check = mqlua_cidr_new(NULL, NULL);
    bool good = list && check;
    r->depth++;
    for (size_t i = 0; good && i < json_array_size(value); i++) {
        json_t *item = json_array_get(value, i);
        const char *text = json_string_value(item);
        char *why = NULL;
        r->path[r->depth - 1] = i;
        if (!text)
            good = mqlua_settings_wrong(r, false, "%s must hold texts such as \"192.0.2.0/24\"", k->name);
        else if (!mqlua_cidr_add(check, text, json_string_length(item), &why))
            good = mqlua_settings_wrong(r, false, "%s: %s", k->name, why ? why : "not enough memory");
        else if (!(list[i] = strdup(text)))
            good = mqlua_settings_wrong(r, false, "not enough memory");
        free(why);
    }
    r->depth--;
    mqlua_cidr_free(check);
    if (!good) {
        mqlua_settings_free_list(list);
        return mqlua_settings_wrong(r, false,
                                    "not enough memory"); /* kept only when nothing was reported before */
    }
    mqlua_settings_free_list(*to);
    *to = list;
    return true;
}

static bool read_folders(reader *r, const key *k, json_t *value, char ***to)
{
    if (!json_is_array(value))
        return mqlua_settings_wrong(r, false, "%s must be a list", k->name);
    char **list = calloc(json_array_size(value) + 1, sizeof *list);
    bool good = list;
    r->depth++;
    for (size_t i = 0; good && i < json_array_size(value); i++) {
        const char *text = json_string_value(json_array_get(value, i));
        r->path[r->depth - 1] = i;
        if (!text || text[0] != '/')
            good = mqlua_settings_wrong(r, false, "%s must hold absolute paths of folders", k->name);
        else
            good = (list[i] = strdup(text));
    }
    r->depth--;
    if (!good) {
        mqlua_settings_free_list(list);
        return mqlua_settings_wrong(r, false,
                                    "not enough memory"); /* kept only when nothing was reported before */
    }
    mqlua_settings_free_list(*to);
    *to = list;
    return true;
}

bool mqlua_settings_value(reader *r, const key *k, json_t *value)
{
    void *to = (char *)r->settings + k->offset;
    int number;
    switch (k->kind) {
    case PATH:
        return read_path(r, k, value, to);
    case SECONDS:
    case NUMBER:
        return read_number(r, k, value, to);
    case COUNT:
        return read_count(r, k, value, to);
    case MEMORY:
        return read_memory(r, k, value, to);
    case CHOICE:
        return read_choice(r, k, value, to);
    case ALLOW:
        return read_allow(r, k, value, to);
    case NETWORKS:
        return read_networks(r, k, value, to);
    case FOLDERS:
        return read_folders(r, k, value, to);
    case TRUTH:
        *(bool *)to = json_is_true(value);
        return json_is_boolean(value) || mqlua_settings_wrong(r, false, "%s must be true or false", k->name);
    case CHOICE_TRUTH:
        if (!read_choice(r, k, value, &number))
            return false;
        *(bool *)to = number != 0;
        return true;
    case GROUP:
        break;
    }
    return false;
}
