/* SPDX-License-Identifier: MIT */

#include "host/outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/bytes.h"

enum { PIECE = 64 * 1024, LINE_MAX_SIZE = 256 * 1024 * 1024 };

struct host_outbox {
    int fd;
    int stop; /* eventfd: readable once host_outbox_stop was called */
    atomic_bool stopped;
    bool started;
    bool fifo;
    bool skipping; /* the rest of a line that was too long */
    unsigned long number;
    struct host_bytes buffer;
    pthread_t thread;
    struct host_outbox_calls calls;
    void *data;
};

struct host_outbox *host_outbox_open(const char *path)
{
    struct stat facts;
    struct host_outbox *outbox = calloc(1, sizeof *outbox);
    if (!outbox)
        return NULL;
    outbox->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    bool standard = strcmp(path, "-") == 0;
    outbox->fifo = !standard && stat(path, &facts) == 0 && S_ISFIFO(facts.st_mode);
    /* a FIFO that is open for writing here has no end when the last writer goes */
    int flags = (outbox->fifo ? O_RDWR | O_NONBLOCK : O_RDONLY) | O_CLOEXEC;
    outbox->fd = standard ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, flags);
    if (outbox->fd >= 0 && outbox->stop >= 0)
        return outbox;
    int error = errno;
    host_outbox_close(outbox);
    errno = error;
    return NULL;
}

static void take_line(struct host_outbox *outbox, const char *line, size_t size)
{
    host_json *json;
    const char *error;
    size_t blank = 0;
    while (blank < size && (line[blank] == ' ' || line[blank] == '\t' || line[blank] == '\r'))
        blank++;
    if (blank == size)
        return;
    if (!host_json_parse(line, size, &json, &error)) {
        outbox->calls.line(outbox->data, outbox->number, NULL, error);
    } else if (!json || !HOST_JSON_IS(json, object)) {
        HOST_JSON(put)(json);
        outbox->calls.line(outbox->data, outbox->number, NULL, "not a JSON object");
    } else {
        outbox->calls.line(outbox->data, outbox->number, json, NULL);
    }
}

/* Hands on the complete lines of the buffer; with last also what stands behind the last line end. from is
 * where the bytes begin that were not searched yet. */
static void take_lines(struct host_outbox *outbox, size_t from, bool last)
{
    const char *data = outbox->buffer.data;
    size_t start = 0;
    while (!outbox->stopped) {
        const char *lf =
            from < outbox->buffer.size ? memchr(data + from, '\n', outbox->buffer.size - from) : NULL;
        if (!lf && (!last || start == outbox->buffer.size))
            break;
        size_t end = lf ? (size_t)(lf - data) : outbox->buffer.size;
        if (!outbox->skipping) {
            outbox->number++;
            take_line(outbox, data + start, end - start);
        }
        outbox->skipping = false;
        start = from = lf ? end + 1 : end;
    }
    host_bytes_drop(&outbox->buffer, start);
    if (outbox->buffer.size > LINE_MAX_SIZE || outbox->skipping) {
        if (!outbox->skipping)
            outbox->calls.line(outbox->data, ++outbox->number, NULL, "line too long");
        outbox->skipping = true;
        host_bytes_clear(&outbox->buffer);
    }
}

/* Reads a piece: 1 when there may be more, 0 at the end, -1 with errno on failure. */
static int read_piece(struct host_outbox *outbox)
{
    struct pollfd fds[] = {{.fd = outbox->stop, .events = POLLIN}, {.fd = outbox->fd, .events = POLLIN}};
    if (poll(fds, 2, -1) < 0)
        return errno == EINTR ? 1 : -1;
    if (fds[0].revents)
        return 1;
    if (!host_bytes_reserve(&outbox->buffer, PIECE)) {
        errno = ENOMEM;
        return -1;
    }
    size_t before = outbox->buffer.size;
    ssize_t size = read(outbox->fd, outbox->buffer.data + before, PIECE);
    if (size < 0)
        return errno == EINTR || errno == EAGAIN ? 1 : -1;
    outbox->buffer.size += (size_t)size;
    outbox->buffer.data[outbox->buffer.size] = '\0';
    take_lines(outbox, before, size == 0);
    return size > 0;
}

static void *run(void *data)
{
    struct host_outbox *outbox = data;
    int more = 1;
    while (more > 0 && !outbox->stopped)
        more = read_piece(outbox);
    int error = more < 0 ? errno : 0;
    if (!outbox->stopped)
        outbox->calls.end(outbox->data, error);
    return NULL;
}

int host_outbox_start(struct host_outbox *outbox, const struct host_outbox_calls *calls, void *data)
{
    outbox->calls = *calls;
    outbox->data = data;
    int error = pthread_create(&outbox->thread, NULL, run, outbox);
    outbox->started = error == 0;
    return error;
}

void host_outbox_stop(struct host_outbox *outbox)
{
    uint64_t one = 1;
    outbox->stopped = true;
    if (write(outbox->stop, &one, sizeof one) < 0)
        return; /* the counter is at its limit: the thread is awake already */
}

unsigned long host_outbox_close(struct host_outbox *outbox)
{
    if (!outbox)
        return 0;
    if (outbox->started) {
        host_outbox_stop(outbox);
        pthread_join(outbox->thread, NULL);
    }
    if (outbox->fd >= 0)
        close(outbox->fd);
    if (outbox->stop >= 0)
        close(outbox->stop);
    unsigned long number = outbox->number;
    host_bytes_free(&outbox->buffer);
    free(outbox);
    return number;
}
