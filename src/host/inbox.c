/* SPDX-License-Identifier: MIT */

#include "host/inbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "host/json_print.h"

struct host_inbox {
    int fd;
    bool standard; /* standard output: not ours to close */
    bool regular;  /* can be cut off */
    bool torn;     /* ends in the middle of a line that failed */
    unsigned long lines;
    pthread_mutex_t lock;
};

struct host_inbox *host_inbox_open(const char *path)
{
    struct stat facts;
    struct host_inbox *inbox = calloc(1, sizeof *inbox);
    if (!inbox)
        return NULL;
    inbox->standard = !path || strcmp(path, "-") == 0;
    inbox->fd = STDOUT_FILENO;
    if (!inbox->standard) /* mail is nobody else's business, hence the mode */
        inbox->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (inbox->fd < 0 || fstat(inbox->fd, &facts) != 0) {
        int error = errno;
        if (inbox->fd >= 0 && !inbox->standard)
            close(inbox->fd);
        free(inbox);
        errno = error;
        return NULL;
    }
    inbox->regular = S_ISREG(facts.st_mode) && !inbox->standard;
    pthread_mutex_init(&inbox->lock, NULL);
    return inbox;
}

/* Writes all of the parts, which are changed on the way. *written counts the bytes that went out. */
static int write_all(int fd, struct iovec *parts, int number, size_t *written)
{
    *written = 0;
    while (number) {
        ssize_t size = writev(fd, parts, number);
        if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            poll(&wait, 1, -1);
            continue;
        }
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return errno;
        *written += (size_t)size;
        while (number && (size_t)size >= parts->iov_len) {
            size -= (ssize_t)parts->iov_len;
            parts++;
            number--;
        }
        if (number) {
            parts->iov_base = (char *)parts->iov_base + size;
            parts->iov_len -= (size_t)size;
        }
    }
    return 0;
}

int host_inbox_write(struct host_inbox *inbox, host_json *json)
{
    struct host_bytes line = {0};
    if (!host_json_print(&line, json)) {
        host_bytes_free(&line);
        return ENOMEM;
    }
    char end[] = "\n";
    size_t written;
    pthread_mutex_lock(&inbox->lock);
    struct iovec parts[] = {{end, inbox->torn ? 1 : 0}, {line.data, line.size}, {end, 1}};
    int error = write_all(inbox->fd, parts, 3, &written);
    if (error && written) {
        struct stat facts;
        bool cut = inbox->regular && fstat(inbox->fd, &facts) == 0 && (size_t)facts.st_size >= written &&
                   ftruncate(inbox->fd, facts.st_size - (off_t)written) == 0;
        inbox->torn = inbox->torn || !cut;
    } else if (!error) {
        inbox->torn = false;
        inbox->lines++;
    }
    pthread_mutex_unlock(&inbox->lock);
    host_bytes_free(&line);
    return error;
}

unsigned long host_inbox_count(struct host_inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    unsigned long lines = inbox->lines;
    pthread_mutex_unlock(&inbox->lock);
    return lines;
}

int host_inbox_close(struct host_inbox *inbox)
{
    int error = 0;
    if (!inbox)
        return 0;
    if (inbox->regular && fsync(inbox->fd) != 0)
        error = errno;
    if (!inbox->standard && close(inbox->fd) != 0 && !error)
        error = errno;
    pthread_mutex_destroy(&inbox->lock);
    free(inbox);
    return error;
}
