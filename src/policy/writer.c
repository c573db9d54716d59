/* SPDX-License-Identifier: MIT */
#include "policy/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

/* A read lease is refused while somebody has the file open for writing, and that is all that it is for: it is
 * returned at once. Who opens the file for writing in between waits that long, and the kernel signals the
 * holder of the lease; the default, SIGIO, would end the process, so it is told to use one that is ignored by
 * default. */
bool mqlua_writer_has(int fd)
{
    int kept = errno;
    struct f_owner_ex owner = {.type = F_OWNER_TID, .pid = gettid()};
    if (fcntl(fd, F_SETOWN_EX, &owner) < 0 || fcntl(fd, F_SETSIG, SIGURG) < 0) {
        errno = kept;
        return false;
    }
    bool written = fcntl(fd, F_SETLEASE, F_RDLCK) < 0 && errno == EAGAIN;
    if (!written)
        fcntl(fd, F_SETLEASE, F_UNLCK);
    errno = kept;
    return written;
}
