/* SPDX-License-Identifier: MIT */

/* Every allocation fails once: nothing crashes or leaks (the sanitizers look), and what is reported is an
 * error. The sources are part of this program, so that they use the allocator below; it counts, and the n-th
 * call fails. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static long countdown = -1; /* below zero: none fails */
static bool hit;

static bool fails(void)
{
    if (countdown < 0 || countdown-- > 0)
        return false;
    hit = true;
    return true;
}

static void *try_malloc(size_t size)
{
    return fails() ? NULL : malloc(size);
}

static void *try_calloc(size_t count, size_t size)
{
    return fails() ? NULL : calloc(count, size);
}

static void *try_realloc(void *old, size_t size)
{
    return fails() ? NULL : realloc(old, size);
}

static void *try_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : aligned_alloc(alignment, size);
}

static char *try_strdup(const char *text)
{
    return fails() ? NULL : strdup(text);
}

static char *try_strndup(const char *text, size_t size)
{
    return fails() ? NULL : strndup(text, size);
}

static int try_vasprintf(char **out, const char *format, va_list args)
{
    return fails() ? -1 : vasprintf(out, format, args);
}

static int try_asprintf(char **out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = try_vasprintf(out, format, args);
    va_end(args);
    return size;
}

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Names that are local to one source may be used in another. */
#pragma GCC diagnostic ignored "-Wshadow"
#define malloc        try_malloc
#define calloc        try_calloc
#define realloc       try_realloc
#define aligned_alloc try_aligned_alloc
#undef strdup
#define strdup try_strdup
#undef strndup
#define strndup   try_strndup
#define vasprintf try_vasprintf
#define asprintf  try_asprintf
#include "../../src/base/error.c"
#include "../../src/base/cidr.c"
#include "../../src/policy/bundle.c"
#include "../../src/policy/bundle_read.c"
#include "../../src/policy/bundle_keep.c"
#include "../../src/policy/locate.c"
#include "../../src/policy/settings_value.c"
#include "../../src/policy/settings.c"
#include "../../src/base/lookup.c"
#include "../../src/base/metrics.c"
#undef malloc
#undef calloc
#undef realloc
#undef aligned_alloc
#undef strdup
#undef strndup
#undef vasprintf
#undef asprintf

/* Runs work with the first, then the second, ... allocation failing, until none is left. work returns whether
 * it succeeded. may_succeed: an allocation that only saves space may fail unnoticed. */
static void exhaust(bool (*work)(char **error), bool may_succeed)
{
    long n = 0;
    bool good;
    do {
        char *error = NULL;
        hit = false;
        countdown = n++;
        good = work(&error);
        countdown = -1;
        if (hit && good && !may_succeed)
            fail_msg("allocation %ld failed and nobody noticed", n);
        if (!hit && !good)
            fail_msg("failed without reason: %s", error ? error : "?");
        free(error);
    } while (hit);
    assert_true(good);
    assert_true(n > 3);
}

static char folder[] = P_tmpdir "/mqlua-alloc-XXXXXX";
static char entry_path[64], kept_path[64];

static bool use_bundle(char **error)
{
    char *why = NULL;
    mqlua_bundle *bundle = mqlua_bundle_open(entry_path, error);
    if (!bundle)
        return false;
    bool good = mqlua_bundle_file(bundle, "data", MQLUA_FILE_SET, &why) != NULL;
    if (good) {
        mqlua_bundle_seal(bundle);
        good = mqlua_bundle_keep(bundle, kept_path, &why);
    }
    mqlua_bundle_unref(bundle);
    free(why);
    return good;
}

static bool use_kept(char **error)
{
    mqlua_bundle *bundle = mqlua_bundle_restore(kept_path, error);
    mqlua_bundle_unref(bundle);
    return bundle != NULL;
}

static void make_file(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("text\n", file);
    fclose(file);
}

static void bundles(void **state)
{
    char command[128];
    assert_non_null(mkdtemp(folder));
    snprintf(entry_path, sizeof entry_path, "%s/policy.lua", folder);
    snprintf(kept_path, sizeof kept_path, "%s/kept", folder);
    make_file("policy.lua");
    make_file("other.lua");
    make_file("data");
    exhaust(use_bundle, false);
    exhaust(use_kept, false);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
}

static bool use_settings(char **error)
{
    static const char text[] = "{\"policy\": \"/p\", \"host\": {\"proxies\": [\"192.0.2.1\", \"::/0\"]}}";
    mqlua_settings *settings = mqlua_settings_parse(text, strlen(text), "s", error);
    mqlua_settings_free(settings);
    return settings != NULL;
}

static void settings(void **state)
{
    exhaust(use_settings, false);
}

static bool use_cidr(char **error)
{
    char text[] = "192.0.2.0/24", *texts[40];
    for (int i = 0; i < 39; i++)
        texts[i] = text;
    texts[39] = NULL;
    mqlua_cidr *cidr = mqlua_cidr_parse(texts, error);
    mqlua_cidr_free(cidr);
    return cidr != NULL;
}

static void networks(void **state)
{
    exhaust(use_cidr, false);
}

static bool use_lookup(char **error)
{
    static const char text[] = "# c\na b\nc d\n";
    mqlua_lookup *lookup = mqlua_lookup_parse(text, strlen(text), "f", true, error);
    mqlua_lookup_free(lookup);
    return lookup != NULL;
}

static void lookups(void **state)
{
    exhaust(use_lookup, true);
}

/* Once a metric is there, adding to it cannot fail: it goes to the overflow series. */
static bool use_metrics(char **error)
{
    static const mqlua_metric_spec spec = {.name = "m", .help = "h", .labels = {"a", "b"}, .nlabels = 2};
    const char *values[] = {"x", "y"};
    const size_t sizes[] = {1, 1};
    mqlua_metrics *metrics = mqlua_metrics_new(NULL, NULL, NULL);
    mqlua_metric *metric = metrics ? mqlua_metric_get(metrics, &spec, error) : NULL;
    if (metric)
        mqlua_series_add(mqlua_metric_series(metric, values, sizes), 1);
    mqlua_metrics_free(metrics);
    return metric != NULL;
}

static void metrics(void **state)
{
    exhaust(use_metrics, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bundles), cmocka_unit_test(settings), cmocka_unit_test(networks),
        cmocka_unit_test(lookups), cmocka_unit_test(metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
