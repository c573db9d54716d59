/* SPDX-License-Identifier: MIT */

/* For LD_PRELOAD: once the file that SLOW names is there, the calls that reach a disk or burn a CPU take a
 * minute, as on a file system that does not answer. */

#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#pragma GCC visibility push(default)
int fsync(int fd);
int openat(int folder, const char *path, int flags, ...);
char *crypt_rn(const char *phrase, const char *setting, void *data, int size);
#pragma GCC visibility pop

static void be_slow(const char *what)
{
    const char *flag = getenv("SLOW"), *whats = getenv("SLOW_CALLS");
    if (flag && whats && strstr(whats, what) && access(flag, F_OK) == 0)
        sleep(60);
}

int fsync(int fd)
{
    char link[64], path[4096] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, path, sizeof path - 1) > 0 && strstr(path, ".dict"))
        be_slow("dict");
    if (strstr(path, ".kept"))
        be_slow("kept");
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int openat(int folder, const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    int mode = flags & O_CREAT ? va_arg(list, int) : 0;
    va_end(list);
    if (strstr(path, ".lua"))
        be_slow("openat");
    return ((int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, "openat"))(folder, path, flags, mode);
}

/* The tests call it when it is slow only. */
char *crypt_rn(const char *phrase, const char *setting, void *data, int size)
{
    be_slow("crypt");
    return NULL;
}
