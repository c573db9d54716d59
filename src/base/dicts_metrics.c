/* SPDX-License-Identifier: MIT */

/* The dictionaries of the process as metrics. Readers and writers count as they go, each in places of its
 * own; the counts are put together when somebody asks. */

#include "base/dicts.h"

#include <stdlib.h>
#include <string.h>

enum { MOST = 1000 }; /* dictionaries in one text */

typedef struct row {
    char name[MQLUA_SHARED_NAME + 1];
    mqlua_dict_stats stats;
} row;

typedef struct table {
    row *rows; /* malloc'ed */
    size_t count, room;
} table;

static void add_row(void *ud, mqlua_shared *shared)
{
    table *t = ud;
    if (t->count == MOST)
        return;
    if (t->count == t->room) {
        size_t room = t->room ? 2 * t->room : 16;
        row *rows = realloc(t->rows, room * sizeof *rows);
        if (!rows)
            return;
        t->rows = rows;
        t->room = room;
    }
    row *r = &t->rows[t->count++];
    memcpy(r->name, shared->name, sizeof r->name);
    mqlua_dict_get_stats(shared->dict, &r->stats);
}

static uint64_t value_of(const row *r, int what)
{
    const mqlua_dict_stats *s = &r->stats;
    const uint64_t values[] = {s->entries, s->used, s->capacity, s->hits, s->misses, s->evicted, s->refused};
    return values[what];
}

void mqlua_dicts_collect(void *dicts, FILE *out, bool with_headers)
{
    static const struct {
        const char *name, *kind, *help;
    } metrics[] = {
        {"entries", "gauge", "Entries of a shared dictionary, expired ones that are still there included"},
        {"bytes", "gauge", "Bytes of its capacity that they take"},
        {"capacity_bytes", "gauge", "Its capacity"},
        {"hits", "counter", "Reads that found something"},
        {"misses", "counter", "Reads that found nothing"},
        {"evicted", "counter", "Entries that had not expired and had to go for others"},
        {"refused", "counter", "Writes for which there was no room"},
    };
    table t = {0};
    mqlua_dicts_each(dicts, add_row, &t);
    for (int i = 0; t.count && i < (int)(sizeof metrics / sizeof metrics[0]); i++) {
        if (with_headers)
            fprintf(out, "# HELP mailerq_lua_shared_%s %s\n# TYPE mailerq_lua_shared_%s %s\n",
                    metrics[i].name, metrics[i].help, metrics[i].name, metrics[i].kind);
        for (size_t j = 0; j < t.count; j++)
            fprintf(out, "mailerq_lua_shared_%s{name=\"%s\"} %llu\n", metrics[i].name, t.rows[j].name,
                    (unsigned long long)value_of(&t.rows[j], i));
    }
    free(t.rows);
}
