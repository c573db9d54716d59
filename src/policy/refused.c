/* SPDX-License-Identifier: MIT */
#include "policy/refused.h"
#include "policy/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HASH = 32 };

struct mqlua_refused {
    char *path, *beside;
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
    FILE *file = fopen(r->path, "re");
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
    if (!r->path || asprintf(&r->beside, "%s.new", path) < 0) {
        free(r->path);
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
    free(r->beside);
    free(r);
}

bool mqlua_refused_has(const mqlua_refused *r, const char *hash)
{
    for (int i = 0; r && i < r->count; i++)
        if (strcmp(r->hashes[i], hash) == 0)
            return true;
    return false;
}

static bool write_lines(const mqlua_refused *r)
{
    int fd = open(r->beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (!file) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    for (int i = 0; i < r->count; i++)
        fprintf(file, "%s\n", r->hashes[i]);
    bool good = fflush(file) == 0 && !ferror(file) && fsync(fd) == 0;
    int why = errno;
    fclose(file);
    errno = why;
    return good && rename(r->beside, r->path) == 0;
}

bool mqlua_refused_add(mqlua_refused *r, const char *hash, char **error)
{
    *error = NULL;
    if (mqlua_refused_has(r, hash))
        return true;
    remember(r, hash);
    if (write_lines(r))
        return true;
    mqlua_error_set(error, "%s: %s", r->path, strerror(errno));
    return false;
}
