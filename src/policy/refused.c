/* SPDX-License-Identifier: MIT */
#include "policy/refused.h"
#include "base/error.h"
#include "policy/replace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HASH = 32 };

struct mqlua_refused {
    char *path;
    char hashes[MQLUA_REFUSED][HASH + 1]; /* newest last */
    int count;
};

static void remember(mqlua_refused *r, const char *hash)
{
    if (r->count == MQLUA_REFUSED)
        memmove(r->hashes[0], r->hashes[1], sizeof r->hashes[0] * --r->count);
    snprintf(r->hashes[r->count++], sizeof r->hashes[0], "%s", hash);
}

static void read_lines(mqlua_refused *r)
{
    char line[200];
    FILE *file = mqlua_open_regular(r->path);
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, " \r\n")] = '\0';
        if (strlen(line) == HASH && strspn(line, "0123456789abcdef") == HASH)
            remember(r, line);
    }
    if (file)
        fclose(file);
}

mqlua_refused *mqlua_refused_load(const char *path)
{
    mqlua_refused *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->path = strdup(path);
    if (!r->path) {
        free(r);
        return NULL;
    }
    read_lines(r);
    return r;
}

void mqlua_refused_free(mqlua_refused *r)
{
    if (!r)
        return;
    free(r->path);
    free(r);
}

bool mqlua_refused_has(const mqlua_refused *r, const char *hash)
{
    for (int i = 0; r && i < r->count; i++)
        if (strcmp(r->hashes[i], hash) == 0)
            return true;
    return false;
}

static bool write_lines(int fd, const void *ud, char **error)
{
    const mqlua_refused *r = ud;
    for (int i = 0; i < r->count; i++) {
        if (dprintf(fd, "%s\n", r->hashes[i]) < 0) {
            mqlua_error_set(error, "%s", mqlua_error_text(errno));
            return false;
        }
    }
    return true;
}

bool mqlua_refused_add(mqlua_refused *r, const char *hash, char **error)
{
    *error = NULL;
    if (mqlua_refused_has(r, hash))
        return true;
    remember(r, hash);
    return mqlua_replace_file(r->path, write_lines, r, error);
}
