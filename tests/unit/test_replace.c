/* SPDX-License-Identifier: MIT */

/* Files that are replaced as a whole: what cannot be written leaves nothing behind. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/error.h"
#include "policy/replace.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static char folder[] = "/tmp/mqlua-replace-XXXXXX";
static char path[64], beside[64];

static bool write_much(int fd, const void *ud, char **error)
{
    static const char zeros[4096];
    for (int i = 0; i < 100; i++) {
        if (write(fd, zeros, sizeof zeros) != (ssize_t)sizeof zeros) {
            mqlua_error_set(error, "no room");
            return false;
        }
    }
    return true;
}

static int set_up(void **state)
{
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/file", folder);
    snprintf(beside, sizeof beside, "%s/file.new", folder);
    return 0;
}

static int tear_down(void **state)
{
    unlink(path);
    return rmdir(folder); /* nothing else is in there */
}

/* A limit on the size of files stands for a disk that is full. */
static void full_disk(void **state)
{
    char *error = NULL;
    struct rlimit before, little = {5000, RLIM_INFINITY};
    assert_true(mqlua_replace_file(path, write_much, NULL, &error));
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    little.rlim_max = before.rlim_max;
    setrlimit(RLIMIT_FSIZE, &little);
    bool written = mqlua_replace_file(path, write_much, NULL, &error);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_false(written);
    assert_non_null(strstr(error, "no room"));
    free(error);
    assert_int_equal(access(beside, F_OK), -1);
    assert_int_equal(access(path, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(full_disk)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
