/* SPDX-License-Identifier: MIT */

/* Metrics: text format, conflicts, bounds, many threads, and what Lua sees of them. */

#include "script.h"

#include "api/metrics.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>

static char logged[16][1100];
static int lines;

static void fake_log(int level, const char *text)
{
    snprintf(logged[lines++ % 16], sizeof logged[0], "%d %s", level, text);
}

static const mqlua_symbols symbols = {.log = fake_log};

static mqlua_metric *get(mqlua_metrics *metrics, mqlua_metric_spec spec)
{
    char *error = NULL;
    mqlua_metric *metric = mqlua_metric_get(metrics, &spec, &error);
    if (!metric)
        fail_msg("%s", error);
    return metric;
}

static mqlua_series *series(mqlua_metric *metric, const char *value)
{
    size_t size = strlen(value);
    return mqlua_metric_series(metric, &value, &size);
}

static void reads(mqlua_metrics *metrics, const char *expected)
{
    char *text = mqlua_metrics_text(metrics, NULL);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}

static void text(void **state)
{
    mqlua_metrics *metrics = mqlua_metrics_new(mqlua_metrics_warn, (void *)&symbols, NULL);
    reads(metrics, "");
    mqlua_metric *plain =
        get(metrics, (mqlua_metric_spec){.kind = MQLUA_COUNTER, .name = "mails", .help = "a \\ b\nc"});
    mqlua_series_add(mqlua_metric_series(plain, NULL, NULL), 2);
    mqlua_metric *gauge =
        get(metrics, (mqlua_metric_spec){.kind = MQLUA_GAUGE, .name = "g", .labels = {"l"}, .nlabels = 1});
    mqlua_series_set(series(gauge, "a\"\\\n\xc3\xa4\xff"), -1.5);
    mqlua_series_set(series(gauge, ""), INFINITY);
    mqlua_metric *histogram = get(metrics, (mqlua_metric_spec){.kind = MQLUA_HISTOGRAM,
                                                               .name = "h",
                                                               .labels = {"l"},
                                                               .nlabels = 1,
                                                               .buckets = {0.5, 2},
                                                               .nbuckets = 2});
    mqlua_series_observe(series(histogram, "x"), 0.5);
    mqlua_series_observe(series(histogram, "x"), 1);
    mqlua_series_observe(series(histogram, "x"), 100);
    mqlua_series_observe(series(histogram, "x"), NAN);
    reads(metrics, "# HELP mails a \\\\ b\\nc\n# TYPE mails counter\nmails 2\n"
                   "# TYPE g gauge\ng{l=\"a\\\"\\\\\\n\xc3\xa4?\"} -1.5\ng{l=\"\"} +Inf\n"
                   "# TYPE h histogram\nh_bucket{l=\"x\",le=\"0.5\"} 1\nh_bucket{l=\"x\",le=\"2\"} 2\n"
                   "h_bucket{l=\"x\",le=\"+Inf\"} 3\nh_sum{l=\"x\"} 101.5\nh_count{l=\"x\"} 3\n");
    lines = 0;
    mqlua_metrics_log(metrics, &symbols);
    assert_int_equal(lines, 4);
    assert_string_equal(logged[0], "3 metric mails 2");
    assert_string_equal(logged[2], "3 metric g{l=\"\"} +Inf");
    assert_string_equal(logged[3], "3 metric h{l=\"x\"} count 3 sum 101.5");
    mqlua_metrics_free(metrics);
}

static void refuses(mqlua_metrics *metrics, mqlua_metric_spec spec, const char *expected)
{
    char *error = NULL;
    assert_null(mqlua_metric_get(metrics, &spec, &error));
    assert_string_equal(error, expected);
    free(error);
}

/* What was shown of a metric: its line of the text. */
static void shows(mqlua_metrics *metrics, const char *expected)
{
    char *text = mqlua_metrics_short(metrics);
    assert_string_equal(text, expected);
    free(text);
}

static mqlua_metric *count_one(mqlua_metrics *metrics, mqlua_metric_spec spec, const char *value)
{
    const char *values[] = {value, value};
    size_t sizes[] = {strlen(value), strlen(value)};
    mqlua_metric *metric = get(metrics, spec);
    mqlua_series_add(mqlua_metric_series(metric, values, sizes), 1);
    return metric;
}

/* A generation may define anew what an earlier one had, which goes on with its own. */
static void definitions_of_generations(void **state)
{
    mqlua_metrics *metrics = mqlua_metrics_new(NULL, NULL, NULL);
    mqlua_metric_spec one = {
        .kind = MQLUA_COUNTER, .name = "a", .labels = {"x"}, .nlabels = 1, .generation = 1};
    mqlua_metric_spec two = {.kind = MQLUA_GAUGE, .name = "a", .generation = 2};
    mqlua_metric_spec last = {.kind = MQLUA_COUNTER, .name = "b", .generation = 1};
    mqlua_metric *old = count_one(metrics, one, "v"), *b = count_one(metrics, last, "");
    mqlua_metric *new = count_one(metrics, two, "");
    shows(metrics, "a 1\nb 1\n");
    mqlua_metric_spec same = two;
    same.nlabels = 1;
    same.labels[0] = "x";
    refuses(metrics, same, "a has other labels already; choose another name");
    assert_ptr_equal(count_one(metrics, one, "v"), old); /* a roll-back, or a state that is made anew */
    shows(metrics, "a{x=\"v\"} 2\nb 1\n");
    mqlua_metric_release(old);
    mqlua_metric_release(old);
    shows(metrics, "a 1\nb 1\n"); /* the first one did not get to run */
    mqlua_metric_release(new);
    for (int i = 0; i < 3000; i++) {
        two.generation = one.generation = (uint64_t)i + 3;
        mqlua_metric_release(get(metrics, i % 2 ? one : two));
    }
    one.generation = 1;
    mqlua_metric_spec ours = {.kind = MQLUA_COUNTER, .name = "ours"};
    mqlua_metric *fixed = get(metrics, ours);
    ours.kind = MQLUA_GAUGE;
    ours.generation = 9000;
    refuses(metrics, ours, "ours is a counter already; choose another name");
    mqlua_metric_release(fixed);
    refuses(metrics, ours, "ours is a counter already; choose another name");
    mqlua_metric_release(b);
    mqlua_metrics_free(metrics);
}

static void a_full_metric_begins_anew(void **state)
{
    mqlua_metrics *metrics = mqlua_metrics_new(NULL, NULL, NULL);
    mqlua_metric_spec spec = {
        .kind = MQLUA_COUNTER, .name = "a", .labels = {"x"}, .nlabels = 1, .max_series = 1};
    spec.generation = 1;
    count_one(metrics, spec, "junk");
    mqlua_metric *old = count_one(metrics, spec, "more junk");
    shows(metrics, "a{x=\"junk\"} 1\na{x=\"other\"} 1\n");
    spec.generation = 2;
    spec.max_series = 2;
    mqlua_metric *new = count_one(metrics, spec, "good");
    assert_ptr_not_equal(new, old);
    assert_ptr_equal(count_one(metrics, spec, "good"), new);
    shows(metrics, "a{x=\"good\"} 2\n");
    spec.generation = 3;
    assert_ptr_equal(count_one(metrics, spec, "good"), new); /* not full: it goes on */
    mqlua_metrics_free(metrics);
}

static void conflicts(void **state)
{
    mqlua_metrics *metrics = mqlua_metrics_new(mqlua_metrics_warn, (void *)&symbols, NULL);
    mqlua_metric_spec spec = {.kind = MQLUA_COUNTER, .name = "a", .labels = {"x", "y"}, .nlabels = 2};
    mqlua_metric *metric = get(metrics, spec);
    assert_ptr_equal(get(metrics, spec), metric);
    assert_int_equal(mqlua_metric_spec_of(metric)->max_series, MQLUA_METRIC_SERIES);
    mqlua_metric_spec other = spec;
    other.kind = MQLUA_GAUGE;
    refuses(metrics, other, "a is a counter already; choose another name");
    other = spec;
    other.nlabels = 1;
    refuses(metrics, other, "a has other labels already; choose another name");
    other = spec;
    other.labels[1] = "z";
    refuses(metrics, other, "a has other labels already; choose another name");
    other.labels[1] = "x";
    refuses(metrics, other, "a: label 'x' twice");
    other.labels[1] = "le";
    refuses(metrics, other, "a: 'le' is not a name for a label: letters, digits and _, not 'le' or '__...'");
    refuses(metrics, (mqlua_metric_spec){.name = "1a"},
            "'1a' is not a name for a metric: letters, digits, _ and :");
    refuses(metrics, (mqlua_metric_spec){.name = ""},
            "'' is not a name for a metric: letters, digits, _ and :");
    refuses(metrics,
            (mqlua_metric_spec){.name = "h", .kind = MQLUA_HISTOGRAM, .buckets = {1, 1}, .nbuckets = 2},
            "h: buckets must be numbers that grow");
    get(metrics, (mqlua_metric_spec){.name = "h", .kind = MQLUA_HISTOGRAM, .buckets = {1, 2}, .nbuckets = 2});
    refuses(metrics, (mqlua_metric_spec){.name = "h", .kind = MQLUA_HISTOGRAM},
            "h has other buckets already; choose another name");
    mqlua_metrics *scratch = mqlua_metrics_new(mqlua_metrics_warn, (void *)&symbols, metrics);
    refuses(scratch, (mqlua_metric_spec){.kind = MQLUA_GAUGE, .name = "a"},
            "a is a counter already; choose another name");
    get(scratch, spec);
    get(scratch, (mqlua_metric_spec){.kind = MQLUA_GAUGE, .name = "only_checked"});
    mqlua_metrics_free(scratch);
    get(metrics, (mqlua_metric_spec){.kind = MQLUA_COUNTER, .name = "only_checked"});
    mqlua_metrics_free(metrics);
}

static void bounds(void **state)
{
    mqlua_metrics *metrics = mqlua_metrics_new(mqlua_metrics_warn, (void *)&symbols, NULL);
    mqlua_metric *metric =
        get(metrics, (mqlua_metric_spec){
                         .kind = MQLUA_COUNTER, .name = "c", .labels = {"l"}, .nlabels = 1, .max_series = 2});
    lines = 0;
    mqlua_series_add(series(metric, "a"), 1);
    mqlua_series_add(series(metric, "b"), 1);
    for (int i = 0; i < 5; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%d", i);
        mqlua_series_add(series(metric, name), 1);
    }
    mqlua_series_add(series(metric, "a"), 1);
    reads(metrics, "# TYPE c counter\nc{l=\"a\"} 2\nc{l=\"b\"} 1\nc{l=\"other\"} 5\n");
    assert_int_equal(lines, 1);
    assert_string_equal(
        logged[0], "2 metric c has 2 series, its max_series; further ones are counted together as \"other\"");
    char longest[300];
    memset(longest, 'x', sizeof longest);
    const char *value = longest;
    size_t size = 200, longer = 300;
    mqlua_metric *cut =
        get(metrics, (mqlua_metric_spec){.kind = MQLUA_COUNTER, .name = "d", .labels = {"l"}, .nlabels = 1});
    assert_ptr_equal(mqlua_metric_series(cut, &value, &size), mqlua_metric_series(cut, &value, &longer));
    for (int i = 0; i < MQLUA_METRICS - 2; i++) {
        char name[16];
        snprintf(name, sizeof name, "m%d", i);
        get(metrics, (mqlua_metric_spec){.kind = MQLUA_GAUGE, .name = name, .max_series = 1});
    }
    refuses(metrics, (mqlua_metric_spec){.name = "one_more"}, "one_more: more than 1000 metrics");
    mqlua_metrics_free(metrics);
}

/* What one generation used up is there for the next ones, while it is in use and afterwards. */
static void names_of_generations(void **state)
{
    mqlua_metrics *metrics = mqlua_metrics_new(NULL, NULL, NULL);
    mqlua_series *ours = series(get(metrics, (mqlua_metric_spec){.kind = MQLUA_COUNTER, .name = "ours"}), "");
    mqlua_series_add(ours, 1);
    for (uint64_t generation = 1; generation < 40; generation++) {
        static mqlua_metric *last[MQLUA_METRICS], *made[MQLUA_METRICS];
        memcpy(last, made, sizeof last);
        for (int i = 0; i < MQLUA_METRICS; i++) {
            char name[32];
            snprintf(name, sizeof name, "m%d_%d", (int)generation, i);
            made[i] = get(metrics,
                          (mqlua_metric_spec){
                              .kind = MQLUA_GAUGE, .name = name, .max_series = 1, .generation = generation});
        }
        refuses(metrics, (mqlua_metric_spec){.name = "one_more", .generation = generation},
                "one_more: more than 1000 metrics");
        for (int i = 0; i < MQLUA_METRICS && last[i]; i++)
            mqlua_metric_release(last[i]);
    }
    char *all = mqlua_metrics_text(metrics, NULL);
    assert_non_null(strstr(all, "\nours 1\n"));
    assert_non_null(strstr(all, "m39_7 "));
    assert_null(strstr(all, "m30_7 "));
    free(all);
    mqlua_metrics_free(metrics);
}

static void text_is_bounded(void **state)
{
    mqlua_metrics *metrics = mqlua_metrics_new(NULL, NULL, NULL);
    mqlua_metric *metric =
        get(metrics,
            (mqlua_metric_spec){
                .kind = MQLUA_COUNTER, .name = "c", .labels = {"l"}, .nlabels = 1, .max_series = 100000});
    for (int i = 0; i < 100000; i++) {
        char value[64];
        snprintf(value, sizeof value, "%050d", i);
        mqlua_series_add(series(metric, value), 1);
    }
    size_t size;
    char *all = mqlua_metrics_text(metrics, &size);
    assert_in_range(size, MQLUA_METRICS_TEXT, MQLUA_METRICS_TEXT + 1000);
    assert_int_equal(strlen(all), size);
    assert_non_null(strstr(all, "\n# more than 4194304 bytes: the rest is left out\n"));
    free(all);
    mqlua_metrics_free(metrics);
}

enum { THREADS = 4, ROUNDS = 20000, VALUES = 50 };

static void *adder(void *arg)
{
    mqlua_metrics *metrics = arg;
    mqlua_metric *counter =
        get(metrics, (mqlua_metric_spec){.kind = MQLUA_COUNTER, .name = "c", .labels = {"l"}, .nlabels = 1});
    mqlua_metric *histogram = get(metrics, (mqlua_metric_spec){.kind = MQLUA_HISTOGRAM, .name = "h"});
    for (int i = 0; i < ROUNDS; i++) {
        char value[16];
        snprintf(value, sizeof value, "%d", i % VALUES);
        mqlua_series_add(series(counter, value), 1);
        mqlua_series_observe(mqlua_metric_series(histogram, NULL, NULL), i % 3);
        if (i % 5000 == 0)
            free(mqlua_metrics_text(metrics, NULL));
    }
    return NULL;
}

static void many_threads(void **state)
{
    mqlua_metrics *metrics = mqlua_metrics_new(mqlua_metrics_warn, (void *)&symbols, NULL);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, adder, metrics), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    mqlua_metric *counter =
        get(metrics, (mqlua_metric_spec){.kind = MQLUA_COUNTER, .name = "c", .labels = {"l"}, .nlabels = 1});
    for (int i = 0; i < VALUES; i++) {
        char value[16];
        snprintf(value, sizeof value, "%d", i);
        assert_true(mqlua_series_value(series(counter, value)) == THREADS * ROUNDS / VALUES);
    }
    char *all = mqlua_metrics_text(metrics, NULL), expected[40];
    snprintf(expected, sizeof expected, "\nh_count %d\n", THREADS * ROUNDS);
    assert_non_null(strstr(all, expected));
    free(all);
    mqlua_metrics_free(metrics);
}

static void in_lua(void **state)
{
    void (*parts[])(lua_State *) = {mqlua_metrics_open, NULL};
    mqlua_env env = {.metrics = mqlua_metrics_new(mqlua_metrics_warn, (void *)&symbols, NULL)};
    mqlua_vm *vm = script_vm(&env, parts);
    script_gives(
        vm,
        "local c = mq.counter('c', {labels = {'domain', 'ok'}, max_series = 10, help = 'x'})\n"
        "c:inc('a.example', true)\n c:add(2, 'a.example', true)\n c:inc{domain = 'a.example', ok = 'true'}\n"
        "c:inc(nil, 5)\n c:inc{}\n"
        "local z = mq.counter('z', {labels = {'l'}}) z:inc('a\\0b')\n"
        "mq.gauge('g'):set(5) mq.gauge('g'):add(-2) mq.gauge('g'):inc()\n"
        "mq.histogram('h', {buckets = {1, 10}}):observe(3)\n"
        "return mq.metrics()",
        "# HELP c x\n# TYPE c counter\nc{domain=\"a.example\",ok=\"true\"} 4\nc{domain=\"\",ok=\"5\"} 1\n"
        "c{domain=\"\",ok=\"\"} 1\n"
        "# TYPE z counter\nz{l=\"a?b\"} 1\n"
        "# TYPE g gauge\ng 4\n# TYPE h histogram\nh_bucket{le=\"1\"} 0\nh_bucket{le=\"10\"} 1\n"
        "h_bucket{le=\"+Inf\"} 1\nh_sum 3\nh_count 1\n");
    script_raises(vm, "mq.counter('c'):inc()",
                  "policy.lua:1: mq.counter: c has other labels already; choose another name");
    script_raises(vm, "mq.gauge('c')", "policy.lua:1: mq.gauge: c is a counter already; choose another name");
    script_raises(vm, "mq.counter('d', {labels = {'x'}}):inc()",
                  "policy.lua:1: d wants 1 label values, not 0");
    script_raises(vm, "mq.counter('d', {labels = {'x'}}):inc{y = 1}",
                  "policy.lua:1: d: a value for a label that it does not have");
    script_raises(vm, "mq.counter('d', {labels = {'x'}}):inc({}, 1)",
                  "policy.lua:1: d wants 1 label values, not 2");
    script_raises(vm, "mq.counter('d', {labels = {'x'}}):add(-1, 'x')",
                  "policy.lua:1: bad argument #1 to 'add' (a counter only grows; use a gauge)");
    script_raises(vm, "mq.counter('d', {labels = {'x'}}):add(0/0, 'x')",
                  "policy.lua:1: bad argument #1 to 'add' (not a finite number)");
    script_raises(vm, "mq.counter('e', {label = {'x'}})",
                  "policy.lua:1: mq.counter: unknown option 'label'; did you mean labels");
    script_raises(vm, "mq.counter('e', {buckets = {1}})",
                  "policy.lua:1: mq.counter: buckets are for mq.histogram");
    script_raises(vm, "mq.histogram('e', {buckets = {}})",
                  "policy.lua:1: mq.histogram: buckets must be a list of 1 to 32 numbers");
    script_raises(vm, "mq.counter('e', {max_series = 0})",
                  "policy.lua:1: mq.counter: max_series must be from 1 to 100000");
    mqlua_vm_free(vm);
    mqlua_metrics_free(env.metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text),
        cmocka_unit_test(conflicts),
        cmocka_unit_test(definitions_of_generations),
        cmocka_unit_test(a_full_metric_begins_anew),
        cmocka_unit_test(bounds),
        cmocka_unit_test(many_threads),
        cmocka_unit_test(in_lua),
        cmocka_unit_test(names_of_generations),
        cmocka_unit_test(text_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
