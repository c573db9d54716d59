/* SPDX-License-Identifier: MIT */

/* mq.counter, mq.gauge, mq.histogram, mq.metrics. */

#include "api/metrics.h"
#include "api/env.h"
#include "api/raise.h"
#include "mq/log.h"
#include "vm/object.h"
#include "vm/stack.h"
#include "vm/explain.h"
#include "vm/bytes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct handle {
    mqlua_object object;
    mqlua_metric *metric;
    mqlua_series *only; /* of a metric without labels */
} handle;

static const mqlua_type types[3];

static handle *check(lua_State *L, mqlua_metric_kind kind)
{
    return mqlua_object_check(L, 1, &types[kind]);
}

/* Label values in a table by name, at index: they go on the stack in the labels' order. */
static void spread(lua_State *L, int index, const mqlua_metric_spec *spec)
{
    size_t given = 0, known = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
        given++;
    luaL_checkstack(L, MQLUA_METRIC_LABELS, "labels");
    mqlua_stack_check(L); /* __index */
    for (size_t i = 0; i < spec->nlabels; i++) {
        lua_getfield(L, index, spec->labels[i]);
        known += !lua_isnil(L, -1);
    }
    if (given != known)
        luaL_error(L, "%s: a value for a label that it does not have", spec->name);
    lua_remove(L, index);
}

/* The text of a label's value. nil is the empty text: a field that happens to be nil must not make a handler
 * fail because of a metric. */
static const char *check_value(lua_State *L, int index, size_t *size)
{
    int type = lua_type(L, index);
    *size = 0;
    if (type == LUA_TNIL)
        return "";
    if (type == LUA_TBOOLEAN) {
        lua_pushstring(L, lua_toboolean(L, index) ? "true" : "false");
        lua_replace(L, index);
    }
    return mqlua_bytes_check(L, index, size);
}

/* The series that the arguments from index on name: values in order, or one table by name. */
static mqlua_series *check_series(lua_State *L, const handle *self, int index)
{
    const mqlua_metric_spec *spec = mqlua_metric_spec_of(self->metric);
    const char *values[MQLUA_METRIC_LABELS];
    size_t sizes[MQLUA_METRIC_LABELS];
    if (lua_istable(L, index) && lua_gettop(L) == index)
        spread(L, index, spec);
    if (lua_gettop(L) - index + 1 != (int)spec->nlabels)
        luaL_error(L, "%s wants %d label values, not %d", spec->name, (int)spec->nlabels,
                   lua_gettop(L) - index + 1);
    for (size_t i = 0; i < spec->nlabels; i++)
        values[i] = check_value(L, index + (int)i, &sizes[i]);
    return self->only ? self->only : mqlua_metric_series(self->metric, values, sizes);
}

static double check_amount(lua_State *L, mqlua_metric_kind kind)
{
    double amount = luaL_checknumber(L, 2);
    if (!isfinite(amount))
        luaL_argerror(L, 2, "not a finite number");
    if (kind == MQLUA_COUNTER && amount < 0)
        luaL_argerror(L, 2, "a counter only grows; use a gauge");
    return amount;
}

static int inc(lua_State *L, mqlua_metric_kind kind)
{
    mqlua_series_add(check_series(L, check(L, kind), 2), 1);
    return 0;
}

static int add(lua_State *L, mqlua_metric_kind kind)
{
    const handle *self = check(L, kind);
    double amount = check_amount(L, kind);
    mqlua_series_add(check_series(L, self, 3), amount);
    return 0;
}

static int l_counter_inc(lua_State *L)
{
    return inc(L, MQLUA_COUNTER);
}

static int l_counter_add(lua_State *L)
{
    return add(L, MQLUA_COUNTER);
}

static int l_gauge_inc(lua_State *L)
{
    return inc(L, MQLUA_GAUGE);
}

static int l_gauge_add(lua_State *L)
{
    return add(L, MQLUA_GAUGE);
}

static int l_gauge_set(lua_State *L)
{
    const handle *self = check(L, MQLUA_GAUGE);
    double value = check_amount(L, MQLUA_GAUGE);
    mqlua_series_set(check_series(L, self, 3), value);
    return 0;
}

static int l_observe(lua_State *L)
{
    const handle *self = check(L, MQLUA_HISTOGRAM);
    double value = check_amount(L, MQLUA_HISTOGRAM);
    mqlua_series_observe(check_series(L, self, 3), value);
    return 0;
}

static int l_release(lua_State *L)
{
    handle *self = lua_touserdata(L, 1);
    if (self->metric)
        mqlua_metric_release(self->metric);
    self->metric = NULL;
    return 0;
}

static const luaL_Reg meta[] = {{"__gc", l_release}, {NULL, NULL}};
static const luaL_Reg counter_methods[] = {{"inc", l_counter_inc}, {"add", l_counter_add}, {NULL, NULL}};
static const luaL_Reg gauge_methods[] = {
    {"inc", l_gauge_inc}, {"add", l_gauge_add}, {"set", l_gauge_set}, {NULL, NULL}};
static const luaL_Reg histogram_methods[] = {{"observe", l_observe}, {NULL, NULL}};

static const mqlua_type types[3] = {
    [MQLUA_COUNTER] = {.name = "counter", .methods = counter_methods, .meta = meta},
    [MQLUA_GAUGE] = {.name = "gauge", .methods = gauge_methods, .meta = meta},
    [MQLUA_HISTOGRAM] = {.name = "histogram", .methods = histogram_methods, .meta = meta}};

static const char *const functions[3] = {"mq.counter", "mq.gauge", "mq.histogram"};

static void read_labels(lua_State *L, int index, mqlua_metric_spec *spec, const char *function)
{
    if (!lua_istable(L, index))
        luaL_error(L, "%s: labels must be a list of names", function);
    spec->nlabels = lua_objlen(L, index);
    if (spec->nlabels > MQLUA_METRIC_LABELS)
        luaL_error(L, "%s: more than %d labels", function, MQLUA_METRIC_LABELS);
    for (size_t i = 0; i < spec->nlabels; i++) {
        lua_rawgeti(L, index, (int)i + 1);
        if (lua_type(L, -1) != LUA_TSTRING)
            luaL_error(L, "%s: labels must be a list of names", function);
        size_t size;
        spec->labels[i] = lua_tolstring(L, -1, &size); /* the list keeps it */
        if (strlen(spec->labels[i]) != size)
            luaL_error(L, "%s: a label with a NUL byte", function);
        lua_pop(L, 1);
    }
}

static void read_buckets(lua_State *L, int index, mqlua_metric_spec *spec, const char *function)
{
    size_t count = lua_istable(L, index) ? lua_objlen(L, index) : 0;
    if (!count || count > MQLUA_METRIC_BUCKETS)
        luaL_error(L, "%s: buckets must be a list of 1 to %d numbers", function, MQLUA_METRIC_BUCKETS);
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, index, (int)i + 1);
        if (lua_type(L, -1) != LUA_TNUMBER)
            luaL_error(L, "%s: buckets must be a list of 1 to %d numbers", function, MQLUA_METRIC_BUCKETS);
        spec->buckets[i] = lua_tonumber(L, -1);
        lua_pop(L, 1);
    }
    spec->nbuckets = count;
}

/* The table at 2 into spec, by key, so that a misspelt key does not go unnoticed. */
static void read_options(lua_State *L, mqlua_metric_spec *spec, const char *function)
{
    static const char *const names[] = {"labels", "max_series", "help", "buckets", NULL};
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
        const char *key = mqlua_object_name(L, -2);
        int value = lua_gettop(L);
        if (strcmp(key, "labels") == 0) {
            read_labels(L, value, spec, function);
        } else if (strcmp(key, "max_series") == 0) {
            double most = lua_tonumber(L, value);
            if (!(most >= 1 && most <= MQLUA_METRIC_SERIES_MAX))
                luaL_error(L, "%s: max_series must be from 1 to %d", function, MQLUA_METRIC_SERIES_MAX);
            spec->max_series = (size_t)most;
        } else if (strcmp(key, "help") == 0) {
            if (lua_type(L, value) != LUA_TSTRING)
                luaL_error(L, "%s: help must be a text", function);
            spec->help = mqlua_explain_line(L, value);
        } else if (strcmp(key, "buckets") == 0) {
            if (spec->kind != MQLUA_HISTOGRAM)
                luaL_error(L, "%s: buckets are for mq.histogram", function);
            read_buckets(L, value, spec, function);
        } else {
            const char *nearest = mqlua_object_nearest(key, names, sizeof *names);
            luaL_error(L, "%s: unknown option '%s'%s%s", function, key, nearest ? "; did you mean " : "",
                       nearest ? nearest : "");
        }
    }
}

static int make(lua_State *L, mqlua_metric_kind kind)
{
    size_t size;
    mqlua_metric_spec spec = {.kind = kind, .name = luaL_checklstring(L, 1, &size)};
    mqlua_metrics *metrics = mqlua_env_of(L)->metrics;
    luaL_argcheck(L, strlen(spec.name) == size, 1, "a name with a NUL byte");
    spec.generation = mqlua_env_of(L)->generation;
    if (!metrics)
        return luaL_error(L, "%s: there are no metrics here", functions[kind]);
    lua_settop(L, 2);
    if (!lua_isnil(L, 2)) {
        luaL_checktype(L, 2, LUA_TTABLE);
        read_options(L, &spec, functions[kind]);
    }
    handle *self = mqlua_object_push(L, &types[kind], sizeof *self, NULL);
    char *error = NULL;
    self->metric = mqlua_metric_get(metrics, &spec, &error);
    if (!self->metric)
        return mqlua_raise(L, functions[kind], error);
    if (!spec.nlabels)
        self->only = mqlua_metric_series(self->metric, NULL, NULL);
    return 1;
}

static int l_counter(lua_State *L)
{
    return make(L, MQLUA_COUNTER);
}

static int l_gauge(lua_State *L)
{
    return make(L, MQLUA_GAUGE);
}

static int l_histogram(lua_State *L)
{
    return make(L, MQLUA_HISTOGRAM);
}

typedef struct exposition {
    char *bytes;
    size_t size;
} exposition;

static int push_text(lua_State *L)
{
    const exposition *all = lua_touserdata(L, 1);
    lua_pushlstring(L, all->bytes, all->size);
    return 1;
}

static int l_metrics(lua_State *L)
{
    mqlua_metrics *metrics = mqlua_env_of(L)->metrics;
    exposition all = {0};
    all.bytes = metrics ? mqlua_metrics_text(metrics, &all.size) : NULL;
    if (!all.bytes)
        return luaL_error(L, "mq.metrics: %s", metrics ? "not enough memory" : "there are no metrics here");
    /* Pushing may raise, and text must not be lost then. */
    lua_pushcfunction(L, push_text);
    lua_pushlightuserdata(L, &all);
    int status = lua_pcall(L, 1, 1, 0);
    free(all.bytes);
    mqlua_vm_charge(L, all.size); /* raises when that was too much: the text is garbage then */
    return status ? lua_error(L) : 1;
}

void mqlua_metrics_warn(void *ud, const char *text)
{
    mqlua_log(ud, MQLUA_LOG_WARN, "%s", text);
}

void mqlua_metrics_log(mqlua_metrics *metrics, const mqlua_symbols *symbols)
{
    char *text = mqlua_metrics_short(metrics);
    if (!text)
        return;
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1)
        mqlua_log(symbols, MQLUA_LOG_INFO, "metric %.*s", (int)(end - line), line);
    free(text);
}

void mqlua_metrics_open(lua_State *L)
{
    static const luaL_Reg list[] = {{"counter", l_counter},
                                    {"gauge", l_gauge},
                                    {"histogram", l_histogram},
                                    {"metrics", l_metrics},
                                    {NULL, NULL}};
    for (int i = 0; i < 3; i++)
        mqlua_object_register(L, &types[i]);
    for (const luaL_Reg *f = list; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }
}
