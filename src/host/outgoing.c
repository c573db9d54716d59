/* SPDX-License-Identifier: MIT */

#include "host/outgoing.h"
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "host/chain.h"
#include "host/host.h"
#include "host/out_connection.h"
#include "host/outbox.h"
#include "host/worker.h"

enum { PENDING_MOST = 2000, CONNECTIONS = 2 };

struct host_outgoing {
    struct host *host;
    struct host_outbox *outbox;
    struct host_inbox *results; /* NULL: results share standard output with the inbox */
    struct host_out_worker *workers;
    int worker_count;
    unsigned turn; /* the reader's thread: which worker is next */

    pthread_mutex_t lock; /* what follows */
    pthread_cond_t room;
    struct host_delivery *pending; /* lines without result */
    int pending_count;
    bool ended; /* the outbox has no more lines */
    bool stopped;
    int error; /* first result that could not be written */
};

struct host *host_outgoing_host(const struct host_outgoing *outgoing)
{
    return outgoing->host;
}

static bool is_stdout(const char *path)
{
    return !path || strcmp(path, "-") == 0;
}

struct host_outgoing *host_outgoing_open(struct host *host, char *error, size_t size)
{
    const struct host_options *options = host->options;
    struct host_outgoing *outgoing = calloc(1, sizeof *outgoing);
    if (!outgoing || !options->outbox) {
        snprintf(error, size, "%s", outgoing ? "no outbox" : "no memory");
        free(outgoing);
        return NULL;
    }
    outgoing->host = host;
    pthread_mutex_init(&outgoing->lock, NULL);
    pthread_cond_init(&outgoing->room, NULL);
    outgoing->outbox = host_outbox_open(options->outbox);
    if (!outgoing->outbox)
        snprintf(error, size, "%s: %s", options->outbox, mqlua_error_text(errno));
    bool share = is_stdout(options->results) && is_stdout(options->inbox);
    if (outgoing->outbox && !share) {
        outgoing->results = host_inbox_open(options->results);
        if (!outgoing->results)
            snprintf(error, size, "%s: %s", options->results ? options->results : "standard output",
                     mqlua_error_text(errno));
    }
    if (outgoing->outbox && (share || outgoing->results))
        return outgoing;
    host_outgoing_close(outgoing);
    return NULL;
}

/* Ends the host when nothing is left to do for it. */
static void stop_when_done(struct host_outgoing *outgoing)
{
    pthread_mutex_lock(&outgoing->lock);
    bool done = outgoing->ended && !outgoing->pending_count;
    pthread_mutex_unlock(&outgoing->lock);
    if (done && outgoing->host->options->listen_count == 0)
        host_stop(outgoing->host);
}

static void enlist(struct host_outgoing *outgoing, struct host_delivery *delivery)
{
    pthread_mutex_lock(&outgoing->lock);
    delivery->next = outgoing->pending;
    if (delivery->next)
        delivery->next->previous = delivery;
    outgoing->pending = delivery;
    outgoing->pending_count++;
    pthread_mutex_unlock(&outgoing->lock);
}

static void write_result(struct host_outgoing *outgoing, unsigned long number, host_json *json)
{
    struct host_inbox *results = outgoing->results ? outgoing->results : outgoing->host->inbox;
    int error = json ? host_inbox_write(results, json) : ENOMEM;
    if (!error)
        return;
    fprintf(stderr, "result of outbox line %lu is lost: %s\n", number, mqlua_error_text(error));
    pthread_mutex_lock(&outgoing->lock);
    if (!outgoing->error)
        outgoing->error = error;
    pthread_mutex_unlock(&outgoing->lock);
}

void host_outgoing_record(struct host_outgoing *outgoing, struct host_delivery *delivery, host_json *json,
                          const struct host_result *result)
{
    if (json && !host_results_add(json, result)) {
        HOST_JSON(put)(json);
        json = NULL;
    }
    write_result(outgoing, delivery->number, json);
    HOST_JSON(put)(json);
    pthread_mutex_lock(&outgoing->lock);
    if (delivery->previous)
        delivery->previous->next = delivery->next;
    else
        outgoing->pending = delivery->next;
    if (delivery->next)
        delivery->next->previous = delivery->previous;
    outgoing->pending_count--;
    pthread_cond_signal(&outgoing->room);
    pthread_mutex_unlock(&outgoing->lock);
    host_delivery_free(delivery);
    stop_when_done(outgoing);
}

/* A result for a delivery that no connection has. */
static void record_unsent(struct host_outgoing *outgoing, struct host_delivery *delivery,
                          const struct host_result *result)
{
    host_json *json = delivery->json;
    delivery->json = NULL;
    host_outgoing_record(outgoing, delivery, json, result);
}

static const struct host_result unattempted = {.state = "process",
                                               .result = "error",
                                               .messages = -1,
                                               .description = "stopped before an attempt was made"};

void host_outgoing_pump(struct host_out_worker *home)
{
    int limit = home->outgoing->host->options->out_connections;
    if (home->pumping) /* a connection that failed at once calls again; the loop below goes on anyway */
        return;
    home->pumping = true;
    while (home->first) {
        struct host_delivery *delivery = home->first;
        bool free = home->active < (limit > 0 ? limit : CONNECTIONS);
        struct host_out_connection *idle = host_out_connection_find(home, delivery);
        if (!idle && !free && !host_out_connection_retire(home))
            break;
        home->first = delivery->queued;
        if (idle)
            host_out_connection_use(idle, delivery);
        else
            host_out_connection_open(home, delivery);
    }
    home->pumping = false;
}

/* On the worker's thread: a line for it. */
static void take_delivery(struct host_worker *worker, void *data)
{
    struct host_out_worker *home = &worker->host->outgoing->workers[worker->index];
    struct host_delivery *delivery = data;
    home->worker = worker;
    if (home->leaving) {
        record_unsent(home->outgoing, delivery, &unattempted);
        return;
    }
    delivery->queued = NULL;
    if (home->first)
        home->last->queued = delivery;
    else
        home->first = delivery;
    home->last = delivery;
    host_outgoing_pump(home);
}

/* The reader's thread: waits until there is room for one more. False when the host stops. */
static bool wait_for_room(struct host_outgoing *outgoing)
{
    pthread_mutex_lock(&outgoing->lock);
    while (outgoing->pending_count >= PENDING_MOST && !outgoing->stopped)
        pthread_cond_wait(&outgoing->room, &outgoing->lock);
    bool room = !outgoing->stopped;
    pthread_mutex_unlock(&outgoing->lock);
    return room;
}

/* To the next worker. The lock makes sure that none of them has been told to leave, so that it still exists.
 */
static bool hand_over(struct host_outgoing *outgoing, struct host_delivery *delivery)
{
    unsigned turn = outgoing->turn++ % (unsigned)outgoing->worker_count;
    pthread_mutex_lock(&outgoing->lock);
    bool ok = !outgoing->stopped && host_worker_post(&outgoing->host->workers[turn], take_delivery, delivery);
    pthread_mutex_unlock(&outgoing->lock);
    return ok;
}

static void take_line(void *data, unsigned long number, host_json *json, const char *error)
{
    struct host_outgoing *outgoing = data;
    struct host_result result = unattempted;
    if (!json) {
        json = host_results_malformed(number, error);
        write_result(outgoing, number, json);
        HOST_JSON(put)(json);
        return;
    }
    struct host_delivery *delivery = host_delivery_new(number, json);
    if (!delivery) {
        write_result(outgoing, number, NULL);
        return;
    }
    bool room = wait_for_room(outgoing);
    enlist(outgoing, delivery);
    bool ok = room && host_delivery_prepare(delivery, outgoing->host->options->smarthost, &result);
    if (ok && delivery->no_mime && !host_chain_wanted(outgoing->host, HOST_EVENT_OUT_DATA)) {
        ok = false;
        result = (struct host_result){.state = delivery->no_mime,
                                      .result = "error",
                                      .messages = -1,
                                      .description = "nothing here can make MIME of it"};
    }
    if (!ok || !hand_over(outgoing, delivery))
        record_unsent(outgoing, delivery, &result);
}

static void take_end(void *data, int error)
{
    struct host_outgoing *outgoing = data;
    pthread_mutex_lock(&outgoing->lock);
    outgoing->ended = true;
    if (error) {
        fprintf(stderr, "outbox: %s\n", mqlua_error_text(error));
        outgoing->error = error;
    }
    pthread_mutex_unlock(&outgoing->lock);
    stop_when_done(outgoing);
}

bool host_outgoing_start(struct host_outgoing *outgoing)
{
    static const struct host_outbox_calls calls = {.line = take_line, .end = take_end};
    struct host *host = outgoing->host;
    outgoing->worker_count = host->worker_count - 1; /* the last one is the idle one */
    outgoing->workers = calloc((size_t)host->worker_count, sizeof *outgoing->workers);
    if (!outgoing->workers)
        return false;
    for (int i = 0; i < host->worker_count; i++)
        outgoing->workers[i].outgoing = outgoing;
    return host_outbox_start(outgoing->outbox, &calls, outgoing) == 0;
}

void host_outgoing_leave(struct host_worker *worker)
{
    struct host_outgoing *outgoing = worker->host->outgoing;
    if (!outgoing || !outgoing->workers)
        return;
    struct host_out_worker *home = &outgoing->workers[worker->index];
    host_outbox_stop(outgoing->outbox);
    pthread_mutex_lock(&outgoing->lock);
    outgoing->stopped = true;
    pthread_cond_broadcast(&outgoing->room);
    pthread_mutex_unlock(&outgoing->lock);
    home->leaving = true;
    while (home->first) {
        struct host_delivery *delivery = home->first;
        home->first = delivery->queued;
        record_unsent(outgoing, delivery, &unattempted);
    }
    while (host_out_connection_retire(home)) {
    }
}

void host_outgoing_cut(struct host_worker *worker)
{
    struct host_outgoing *outgoing = worker->host->outgoing;
    if (!outgoing || !outgoing->workers)
        return;
    struct host_out_worker *home = &outgoing->workers[worker->index];
    home->leaving = true;
    while (home->connections)
        host_out_connection_cut(home->connections);
}

int host_outgoing_close(struct host_outgoing *outgoing)
{
    if (!outgoing)
        return 0;
    host_outbox_close(outgoing->outbox);
    while (outgoing->pending) /* lines that no worker took any more */
        record_unsent(outgoing, outgoing->pending, &unattempted);
    int error = host_inbox_close(outgoing->results);
    if (outgoing->error)
        error = outgoing->error;
    pthread_cond_destroy(&outgoing->room);
    pthread_mutex_destroy(&outgoing->lock);
    free(outgoing->workers);
    free(outgoing);
    return error;
}
