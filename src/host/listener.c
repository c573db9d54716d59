/* SPDX-License-Identifier: MIT */
#include "host/listener.h"
#include "base/error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/host.h"
#include "host/session.h"
#include "host/worker.h"

enum { BACKLOG = 1024, ACCEPTS_AT_ONCE = 16 };

/* Seconds without accept after the system refused a descriptor or memory. */
static const double ACCEPT_PAUSE = 0.1;

static void print_address(const struct host_listen *listen, char *text, size_t size)
{
    char ip[INET6_ADDRSTRLEN] = "?";
    if (listen->address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&listen->address;
        inet_ntop(AF_INET6, &six->sin6_addr, ip, sizeof ip);
        snprintf(text, size, "[%s]:%d", ip, ntohs(six->sin6_port));
    } else {
        const struct sockaddr_in *four = (const struct sockaddr_in *)&listen->address;
        inet_ntop(AF_INET, &four->sin_addr, ip, sizeof ip);
        snprintf(text, size, "%s:%d", ip, ntohs(four->sin_port));
    }
}

/* A bound socket, or -1 with errno. */
static int open_socket(struct host_listen *listen, bool shared)
{
    int yes = 1;
    int fd = socket(listen->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (shared)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&listen->address, listen->size) < 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    /* port 0 became a real one, which the other workers take too */
    getsockname(fd, (struct sockaddr *)&listen->address, &listen->size);
    return fd;
}

static bool add_listener(struct host_worker *worker, int fd, bool tls)
{
    struct host_listener *listener = calloc(1, sizeof *listener);
    if (!listener) {
        close(fd);
        errno = ENOMEM;
        return false;
    }
    listener->worker = worker;
    listener->fd = fd;
    listener->tls = tls;
    listener->next = worker->listeners;
    worker->listeners = listener;
    return true;
}

static bool bind_one(struct host *host, struct host_listen *listen)
{
    int sharing = host->worker_count - 1; /* the last one is idle */
    if (sharing > 1) {
        /* sockets that share a port would join another program's: find out first */
        int probe = open_socket(listen, false);
        if (probe < 0)
            return false;
        close(probe);
    }
    for (int i = 0; i < sharing; i++) {
        int fd = open_socket(listen, sharing > 1);
        if (fd < 0 || !add_listener(&host->workers[i], fd, listen->tls))
            return false;
    }
    return true;
}

bool host_listener_bind_all(struct host *host, char *error, size_t size)
{
    for (size_t i = 0; i < host->options->listen_count; i++) {
        struct host_listen *listen = &host->options->listens[i];
        if (!bind_one(host, listen)) {
            char text[80];
            int reason = errno;
            print_address(listen, text, sizeof text);
            snprintf(error, size, "cannot listen on %s: %s", text, mqlua_error_text(reason));
            return false;
        }
    }
    return true;
}

static void on_pause_end(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct host_listener *listener = timer->data;
    ev_io_start(loop, &listener->io);
}

/* The socket stays readable while nothing can be accepted: watching it would take all of the CPU. */
static void pause_accepting(struct ev_loop *loop, struct host_listener *listener, int error)
{
    if (!listener->starved)
        fprintf(stderr, "cannot accept connections for now: %s\n", mqlua_error_text(error));
    listener->starved = true;
    ev_io_stop(loop, &listener->io);
    ev_timer_set(&listener->pause, ACCEPT_PAUSE, 0.);
    ev_timer_start(loop, &listener->pause);
}

static void on_accept(struct ev_loop *loop, ev_io *io, int events)
{
    struct host_listener *listener = io->data;
    for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
            pause_accepting(loop, listener, errno);
        if (fd < 0)
            return; /* nobody is there, or nobody can be served for now */
        listener->starved = false;
        int yes = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        host_session_start(listener->worker, fd, listener->tls);
    }
}

bool host_listener_start(struct host_worker *worker)
{
    for (struct host_listener *listener = worker->listeners; listener; listener = listener->next) {
        if (listen(listener->fd, BACKLOG) < 0)
            return false;
        ev_io_init(&listener->io, on_accept, listener->fd, EV_READ);
        listener->io.data = listener;
        ev_init(&listener->pause, on_pause_end);
        listener->pause.data = listener;
        ev_io_start(worker->loop, &listener->io);
    }
    return true;
}

void host_listener_stop(struct host_worker *worker)
{
    while (worker->listeners) {
        struct host_listener *listener = worker->listeners;
        worker->listeners = listener->next;
        if (ev_is_active(&listener->io))
            ev_io_stop(worker->loop, &listener->io);
        if (ev_is_active(&listener->pause))
            ev_timer_stop(worker->loop, &listener->pause);
        close(listener->fd);
        free(listener);
    }
}

void host_listener_print(const struct host *host)
{
    for (size_t i = 0; i < host->options->listen_count; i++) {
        char text[80];
        print_address(&host->options->listens[i], text, sizeof text);
        fprintf(stderr, "listening on %s%s\n", text, host->options->listens[i].tls ? " (tls)" : "");
    }
}
