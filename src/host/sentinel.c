/* SPDX-License-Identifier: MIT */
#include "host/sentinel.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/rules.h"

struct host_sentinel {
    int fd;
    int flags;
    bool known;            /* the two below are */
    int64_t read, written; /* bytes taken from the socket and given to it so far */
};

/* Clears it first: that belongs behind the question whether there is a sentinel, most connections have none.
 */
static bool get_info(int fd, struct tcp_info *info)
{
    socklen_t size = sizeof *info;
    memset(info, 0, sizeof *info);
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &size) == 0;
}

static int waiting(int fd)
{
    int input = 0;
    return ioctl(fd, SIOCINQ, &input) == 0 ? input : 0;
}

static int64_t written(const struct tcp_info *info)
{
    return (int64_t)(info->tcpi_bytes_sent - info->tcpi_bytes_retrans + info->tcpi_notsent_bytes);
}

struct host_sentinel *host_sentinel_new(int socket)
{
    struct host_sentinel *sentinel = calloc(1, sizeof *sentinel);
    int fd = fcntl(socket, F_DUPFD_CLOEXEC, 100);
    if (!sentinel || fd < 0) {
        free(sentinel);
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    sentinel->fd = fd;
    sentinel->flags = fcntl(fd, F_GETFL);
    host_sentinel_look(sentinel);
    return sentinel;
}

void host_sentinel_free(struct host_sentinel *sentinel)
{
    if (sentinel)
        close(sentinel->fd);
    free(sentinel);
}

int host_sentinel_fd(const struct host_sentinel *sentinel)
{
    return sentinel ? sentinel->fd : -1;
}

void host_sentinel_look(struct host_sentinel *sentinel)
{
    if (!sentinel)
        return;
    struct tcp_info info;
    int input = waiting(sentinel->fd);
    sentinel->known = get_info(sentinel->fd, &info);
    sentinel->read = (int64_t)info.tcpi_bytes_received - input;
    sentinel->written = written(&info);
}

void host_sentinel_check(const struct host_sentinel *sentinel, const char *event)
{
    struct tcp_info info;
    if (!sentinel)
        return;
    int flags = fcntl(sentinel->fd, F_GETFL);
    if (flags < 0)
        host_rule_broken(HOST_RULE_FD1, NULL, NULL, "it was closed in %s", event);
    if (flags != sentinel->flags)
        host_rule_broken(HOST_RULE_FD1, NULL, NULL, "its flags were changed in %s from 0x%x to 0x%x", event,
                         (unsigned int)sentinel->flags, (unsigned int)flags);
    if (!sentinel->known || !get_info(sentinel->fd, &info))
        return;
    /* The host itself neither reads nor writes during a callback. What comes in meanwhile counts as waiting:
     * the order of the questions, here and before, errs on the safe side. The end of input counts as a byte.
     */
    int64_t taken = (int64_t)info.tcpi_bytes_received - waiting(sentinel->fd);
    if (taken > sentinel->read + 1)
        host_rule_broken(HOST_RULE_FD1, NULL, NULL, "something was read from it in %s", event);
    if (written(&info) > sentinel->written)
        host_rule_broken(HOST_RULE_FD1, NULL, NULL, "something was written to it in %s", event);
}
