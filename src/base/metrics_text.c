/* SPDX-License-Identifier: MIT */

/* Metrics as text: for Prometheus and for the log. */

#include "base/metrics_internal.h"
#include "base/number.h"
#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One bad byte would make a scrape fail as a whole: it becomes a question mark. */
static void put_escaped(FILE *out, const char *text, size_t size, bool quote)
{
    for (size_t i = 0; i < size;) {
        size_t step = text[i] ? mqlua_utf8_read(text + i, size - i, NULL) : 0; /* a NUL would end the text */
        if (text[i] == '\\' || (quote && text[i] == '"'))
            fprintf(out, "\\%c", text[i]);
        else if (text[i] == '\n')
            fputs("\\n", out);
        else if (step)
            fwrite(text + i, 1, step, out);
        else
            fputc('?', out);
        i += step ? step : 1;
    }
}

static void put_shortest(FILE *out, double number)
{
    char text[32];
    mqlua_number_format(number, text);
    fputs(text, out);
}

static void put_number(FILE *out, double number)
{
    if (isnan(number))
        fputs("NaN", out);
    else if (isinf(number))
        fputs(number > 0 ? "+Inf" : "-Inf", out);
    else if (number == floor(number) && fabs(number) < 1e15)
        fprintf(out, "%.0f", number);
    else
        put_shortest(out, number);
}

/* {label="value",...,le="bound"}; nothing when there is no label. */
static void put_labels(FILE *out, const mqlua_series *series, const double *bound)
{
    const mqlua_metric_spec *spec = &series->metric->spec;
    const char *before = "{";
    for (size_t i = 0; i < spec->nlabels; i++) {
        fprintf(out, "%s%s=\"", before, spec->labels[i]);
        put_escaped(out, series->values[i], series->sizes[i], true);
        fputc('"', out);
        before = ",";
    }
    if (bound) {
        fprintf(out, "%sle=\"", before);
        put_number(out, *bound);
        fputc('"', out);
    }
    if (spec->nlabels || bound)
        fputc('}', out);
}

static uint64_t count_of(const mqlua_series *series)
{
    uint64_t count = 0;
    for (size_t i = 0; i <= series->metric->spec.nbuckets; i++)
        count += atomic_load_explicit(&series->buckets[i], memory_order_relaxed);
    return count;
}

static void put_line(FILE *out, const mqlua_series *series, const char *suffix, double value)
{
    fprintf(out, "%s%s", series->metric->spec.name, suffix);
    put_labels(out, series, NULL);
    fputc(' ', out);
    put_number(out, value);
    fputc('\n', out);
}

static void put_series(FILE *out, const mqlua_series *series)
{
    const mqlua_metric_spec *spec = &series->metric->spec;
    if (spec->kind != MQLUA_HISTOGRAM) {
        put_line(out, series, "", mqlua_series_value(series));
        return;
    }
    uint64_t count = 0;
    for (size_t i = 0; i <= spec->nbuckets; i++) {
        double bound = i < spec->nbuckets ? spec->buckets[i] : INFINITY;
        count += atomic_load_explicit(&series->buckets[i], memory_order_relaxed);
        fprintf(out, "%s_bucket", spec->name);
        put_labels(out, series, &bound);
        fprintf(out, " %llu\n", (unsigned long long)count);
    }
    put_line(out, series, "_sum", mqlua_series_value(series));
    put_line(out, series, "_count", (double)count);
}

static bool is_full(FILE *out)
{
    return ftello(out) > MQLUA_METRICS_TEXT;
}

/* The newest one of that name that somebody uses: a generation that did not get to run left its own. */
static const mqlua_metric *used(const mqlua_metric *newest)
{
    const mqlua_metric *metric = newest;
    while (metric && !atomic_load(&metric->users))
        metric = metric->older;
    return metric ? metric : newest;
}

/* Calls visit for every series, in order, until the text is long enough: the lock is kept for a moment only.
 */
static void each(mqlua_metrics *metrics, void (*begin)(FILE *, const mqlua_metric *),
                 void (*visit)(FILE *, const mqlua_series *), FILE *out)
{
    pthread_mutex_lock(&metrics->lock);
    for (const mqlua_metric *newest = metrics->first; newest && !is_full(out); newest = newest->next) {
        const mqlua_metric *metric = used(newest);
        begin(out, metric);
        mqlua_series *series = atomic_load_explicit(&metric->first, memory_order_acquire);
        for (; series && !is_full(out);
             series = atomic_load_explicit(&series->next_in_order, memory_order_acquire))
            visit(out, series);
        if (atomic_load_explicit(&metric->overflowed, memory_order_relaxed))
            visit(out, metric->overflow);
    }
    if (is_full(out))
        fprintf(out, "# more than %d bytes: the rest is left out\n", MQLUA_METRICS_TEXT);
    pthread_mutex_unlock(&metrics->lock);
}

static void put_header(FILE *out, const mqlua_metric *metric)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    if (metric->spec.help) {
        fprintf(out, "# HELP %s ", metric->spec.name);
        put_escaped(out, metric->spec.help, strlen(metric->spec.help), false);
        fputc('\n', out);
    }
    fprintf(out, "# TYPE %s %s\n", metric->spec.name, kinds[metric->spec.kind]);
}

static char *text_of(mqlua_metrics *metrics, void (*begin)(FILE *, const mqlua_metric *),
                     void (*visit)(FILE *, const mqlua_series *), size_t *size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size);
    if (!out)
        return NULL;
    if (metrics->collect)
        metrics->collect(metrics->collect_ud, out, begin == put_header);
    each(metrics, begin, visit, out);
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(text);
        return NULL;
    }
    return text;
}

char *mqlua_metrics_text(mqlua_metrics *metrics, size_t *size)
{
    size_t none;
    return text_of(metrics, put_header, put_series, size ? size : &none);
}

static void no_header(FILE *out, const mqlua_metric *metric) {}

static void put_short(FILE *out, const mqlua_series *series)
{
    if (series->metric->spec.kind != MQLUA_HISTOGRAM) {
        put_line(out, series, "", mqlua_series_value(series));
        return;
    }
    fputs(series->metric->spec.name, out);
    put_labels(out, series, NULL);
    fprintf(out, " count %llu sum ", (unsigned long long)count_of(series));
    put_number(out, mqlua_series_value(series));
    fputc('\n', out);
}

char *mqlua_metrics_short(mqlua_metrics *metrics)
{
    size_t size;
    return text_of(metrics, no_header, put_short, &size);
}
