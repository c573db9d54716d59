/* SPDX-License-Identifier: MIT */

#include "bench_host.h"
#include <arpa/inet.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct MQ_Timer {
    double due; /* seconds; 0: not armed */
    void (*callback)(void *data);
    void *data;
};

struct MQ_IOWatcher {
    int fd; /* -1: free */
    int events;
    void (*callback)(MQ_IOWatcher *watcher, int fd, int events, void *data);
    void *data;
};

enum { TIMERS = 64, WATCHES = 16 };

static MQ_Timer timers[TIMERS];
static MQ_IOWatcher watches[WATCHES];
static int client_fd; /* of every connection */

static double seconds_of(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

double bench_host_now(void)
{
    return seconds_of(CLOCK_MONOTONIC);
}

double bench_host_cpu(void)
{
    return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

/* ---- what a host provides ---- */

void MQ_continue(MQ_Connection *connection)
{
    connection->paused = false;
}

void MQ_complete(MQ_Connection *connection)
{
    connection->paused = false;
}

void MQ_retry(MQ_Connection *connection)
{
    connection->paused = false;
}

void *MQ_contextData(MQ_Context *c)
{
    return c->data;
}

void MQ_setContextData(MQ_Context *c, void *value)
{
    c->data = value;
}

MQ_IOWatcher *MQ_ioWatch(MQ_Context *c, int fd, int events,
                         void (*callback)(MQ_IOWatcher *, int, int, void *), void *data)
{
    for (int i = 0; i < WATCHES; i++) {
        if (watches[i].fd >= 0)
            continue;
        watches[i] = (MQ_IOWatcher){fd, events, callback, data};
        return &watches[i];
    }
    return NULL;
}

void MQ_ioUnwatch(MQ_IOWatcher *watcher)
{
    watcher->fd = -1;
}

MQ_Timer *MQ_startTimer(MQ_Context *c, float timeout, void (*callback)(void *), void *data)
{
    for (int i = 0; i < TIMERS; i++) {
        if (timers[i].due != 0)
            continue;
        timers[i] = (MQ_Timer){bench_host_now() + (double)timeout, callback, data};
        return &timers[i];
    }
    return NULL;
}

void MQ_stopTimer(MQ_Timer *timer)
{
    timer->due = 0;
}

int MQ_fileDescriptor(MQ_Connection *connection)
{
    return client_fd;
}

size_t MQ_send(MQ_Connection *connection, const void *buffer, size_t size)
{
    return size;
}

bool MQ_authenticated(MQ_Connection *connection)
{
    return connection->authenticated;
}

void MQ_setAuthenticated(MQ_Connection *connection, bool authenticated)
{
    connection->authenticated = authenticated;
}

bool MQ_secure(MQ_Connection *connection)
{
    return false;
}

void *MQ_connectionData(MQ_Connection *connection)
{
    return connection->data;
}

void MQ_setConnectionData(MQ_Connection *connection, void *data)
{
    connection->data = data;
}

const char *bench_host_text(struct fjson_object *json, const char *key)
{
    struct fjson_object *value;
    return fjson_object_object_get_ex(json, key, &value) ? fjson_object_get_string(value) : NULL;
}

static void set_text(MQ_Message *message, const char *key, const char *text, size_t size)
{
    fjson_object_object_add(message->json, key, fjson_object_new_string_len(text, (int)size));
}

struct fjson_object *MQ_json(MQ_Message *message)
{
    return message->json;
}

MQ_Address *MQ_envelope(MQ_Message *message)
{
    message->envelope.email = bench_host_text(message->json, "envelope");
    return &message->envelope;
}

MQ_Address *MQ_recipient(MQ_Message *message)
{
    message->recipient.email = bench_host_text(message->json, "recipient");
    return &message->recipient;
}

const char *MQ_mime(MQ_Message *message)
{
    return bench_host_text(message->json, "mime");
}

void MQ_setEnvelope(MQ_Message *message, const char *envelope, size_t size)
{
    set_text(message, "envelope", envelope, size);
}

void MQ_setRecipient(MQ_Message *message, const char *recipient, size_t size)
{
    set_text(message, "recipient", recipient, size);
}

void MQ_setMime(MQ_Message *message, const char *mime, size_t size)
{
    set_text(message, "mime", mime, size);
}

const char *MQ_email(MQ_Address *address)
{
    return address->email;
}

void MQ_log(int priority, const char *message)
{
    if (priority <= MQ_WARN)
        fprintf(stderr, "%s\n", message);
}

double bench_host_turn(void)
{
    struct pollfd fds[WATCHES];
    double first = INFINITY;
    for (int i = 0; i < TIMERS; i++)
        if (timers[i].due != 0 && timers[i].due < first)
            first = timers[i].due;
    for (int i = 0; i < WATCHES; i++)
        fds[i] = (struct pollfd){.fd = watches[i].fd, .events = POLLIN};
    double wait = first - bench_host_now();
    poll(fds, WATCHES, isinf(wait) ? 1000 : wait > 0 ? (int)(wait * 1000) + 1 : 0);
    double woke = bench_host_now(), began = bench_host_cpu();
    for (int i = 0; i < WATCHES; i++)
        if (fds[i].fd >= 0 && fds[i].revents && watches[i].fd == fds[i].fd)
            watches[i].callback(&watches[i], fds[i].fd, MQ_READ, watches[i].data);
    for (int i = 0; i < TIMERS; i++) {
        if (timers[i].due == 0 || timers[i].due > woke)
            continue;
        timers[i].due = 0;
        timers[i].callback(timers[i].data);
    }
    return began;
}

/* A pair of sockets on the loopback device: the address of every connection. */
bool bench_host_open(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), other = socket(AF_INET, SOCK_STREAM, 0);
    for (int i = 0; i < WATCHES; i++)
        watches[i].fd = -1;
    bool open = bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 1) == 0 &&
                getsockname(listener, (struct sockaddr *)&address, &size) == 0 &&
                connect(other, (struct sockaddr *)&address, size) == 0 &&
                (client_fd = accept(listener, NULL, NULL)) >= 0;
    close(listener);
    return open;
}
