/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/cli.h"

/* A program beside this one, and the knobs it stands for. CMakeLists.txt builds them. */
struct variant {
    const char *name;
    int api;
    int spelling;
    int json_hidden;
    int decoys;
};

static const struct variant variants[] = {
    {"mqlua", HOST_API_565, HOST_SPELLING_CAMEL, 0, 0},
    {"mqlua-pascal", HOST_API_565, HOST_SPELLING_PASCAL, 0, 0},
    {"mqlua-both", HOST_API_565, HOST_SPELLING_BOTH, 0, 0},
    {"mqlua-hidden", HOST_API_565, HOST_SPELLING_CAMEL, 1, 0},
    {"mqlua-decoys", HOST_API_565, HOST_SPELLING_CAMEL, 0, 1},
    {"mqlua-nolog", HOST_API_50, HOST_SPELLING_CAMEL, 0, 0},
    {"mqlua-4.1", HOST_API_41, HOST_SPELLING_CAMEL, 0, 0},
    {"mqlua-4.0", HOST_API_40, HOST_SPELLING_CAMEL, 0, 0},
    {"mqlua-4.0-old", HOST_API_40, HOST_SPELLING_PASCAL, 1, 0}, /* as far from the default as it gets */
    {"mqlua-3.0", HOST_API_30, HOST_SPELLING_CAMEL, 0, 0},
};

enum { VARIANT_COUNT = sizeof variants / sizeof *variants };

static char *own_path(void)
{
    char path[4096];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
    if (size < 0)
        return NULL;
    path[size] = '\0';
    return strdup(path);
}

char *cli_folder(void)
{
    char *path = own_path();
    char *slash = path ? strrchr(path, '/') : NULL;
    if (slash)
        *slash = '\0';
    return path;
}

void cli_variants_print(FILE *file)
{
    static const char *const names[] = {"api", "spelling", "json-export", "decoys"};
    for (int i = 0; i < VARIANT_COUNT; i++) {
        const struct variant *variant = &variants[i];
        const struct host_knobs knobs = {.api = variant->api,
                                         .spelling = variant->spelling,
                                         .json_hidden = variant->json_hidden,
                                         .decoys = variant->decoys};
        for (size_t n = 0; n < sizeof names / sizeof *names; n++)
            fprintf(file, "%s%s=%s", n ? " " : "  ", names[n], host_knobs_value(&knobs, names[n]));
        fputc('\n', file);
    }
}

static const struct variant *find(const struct host_knobs *knobs)
{
    for (int i = 0; i < VARIANT_COUNT; i++) {
        const struct variant *variant = &variants[i];
        if (variant->api == knobs->api && variant->spelling == knobs->spelling &&
            variant->json_hidden == knobs->json_hidden && variant->decoys == knobs->decoys)
            return variant;
    }
    return NULL;
}

bool cli_variant_switch(const struct host_knobs *knobs, int count, char **arguments)
{
    const struct variant *variant = find(knobs);
    if (!variant) {
        fprintf(stderr,
                "mqlua: there is no program with this combination of the knobs api, spelling, json-export "
                "and decoys; there are\n");
        cli_variants_print(stderr);
        return false;
    }
    char *own = own_path();
    char *slash = own ? strrchr(own, '/') : NULL;
    char *path = NULL;
    char **passed = calloc((size_t)count + 2, sizeof *passed);
    bool ready = slash && strcmp(slash + 1, variant->name) == 0;
    if (!slash || !passed || asprintf(&path, "%.*s/%s", (int)(slash - own), own, variant->name) < 0) {
        fprintf(stderr, "mqlua: no memory\n");
    } else if (!ready) {
        passed[0] = path;
        memcpy(passed + 1, arguments, (size_t)count * sizeof *passed);
        execv(path, passed);
        fprintf(stderr, "mqlua: cannot start %s: %s\n", path, mqlua_error_text(errno));
    }
    free(path);
    free(passed);
    free(own);
    return ready;
}
