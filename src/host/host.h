/* SPDX-License-Identifier: MIT */
#pragma once

/* The stand-in MailerQ: configuration, shared state, start and end. Main thread unless said otherwise. */

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/inbox.h"
#include "host/knobs.h"
#include "host/types.h"

struct host_plugin;
struct host_outgoing;

struct host_listen {
    struct sockaddr_storage address;
    socklen_t size;
    bool tls;
};

/* What the command line says. Strings are borrowed and must outlive the host. */
struct host_options {
    struct host_knobs knobs;
    struct host_listen *listens;
    size_t listen_count;
    struct mqlua_cidr *proxies; /* base/cidr.h, finished; NULL: none */
    const char **plugins;       /* files and folders */
    size_t plugin_count;
    int workers;
    const char *hostname;
    const char *inbox; /* NULL = standard output */
    const char *local; /* NULL = as the inbox */
    const char *outbox;
    const char *smarthost; /* HOST:PORT */
    const char *results;
    int out_connections; /* outgoing, at most, for each worker; 0 = 2 */
    double out_timeout;  /* seconds that a smarthost may take for a reply; 0 = 60 */
    const char *tls_certificate;
    const char *tls_key;
    const char *auth_user; /* with auth_password, for own-auth */
    const char *auth_password;
    const char *user; /* to become after the ports are open; NULL = stay */
    uint64_t max_size;
    size_t max_recipients;
    double idle_timeout; /* seconds */
    double grace;        /* seconds that paused events get at the end */
};

struct host_plugin {
    char *path;
    void *handle;
    int (*version)(void);
    void (*initialize)(void);
    void (*cleanup)(void);
    void (*context_initialize)(MQ_Context *);
    void (*context_cleanup)(MQ_Context *);
    void *events[HOST_EVENT_COUNT]; /* the exported functions, NULL where absent */
};

/* Pauses and how they ended; pauses = handbacks + closed + left. */
struct host_ledger {
    atomic_ulong pauses, handbacks, closed, left;
};

struct host {
    const struct host_options *options;
    struct host_knobs knobs;
    struct host_plugin *plugins;
    int plugin_count;
    bool wanted[HOST_EVENT_COUNT]; /* some plugin exports it */
    struct host_worker *workers;   /* the last one is the idle one */
    int worker_count;              /* with the idle one */
    SSL_CTX *tls_server;
    SSL_CTX *tls_client;
    struct host_inbox *inbox;
    struct host_inbox *local; /* may be the inbox */
    struct host_outgoing *outgoing;
    struct host_ledger ledger;
    pthread_barrier_t barrier;
    atomic_bool failed; /* a worker could not start */
    atomic_ulong lost;  /* messages that a client was told are accepted, and that were not published */
};

/*
 * The outgoing side (outgoing.h) is started and ended by host_run through:
 *   host_outgoing_open(host, error, size)  before the workers run; NULL with a message on failure
 *   host_outgoing_start(outgoing)          when all workers run
 *   host_outgoing_leave(worker)            on a worker's thread when it stops: closes what is not paused
 *   host_outgoing_cut(worker)              later, when the grace is over: cancels what is left
 *   host_outgoing_close(outgoing)          after all workers ended; 0 when every line has its result on disk
 * It calls host_stop when every line has its result and there is no listener.
 */

/* Runs the host until SIGTERM, SIGINT or host_stop; returns the exit status of the process, which is not 0
 * when an acknowledged message was lost. */
int host_run(const struct host_options *options);

/* Asks the host to end, as SIGTERM does. Any thread. */
void host_stop(struct host *host);
