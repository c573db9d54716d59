/* SPDX-License-Identifier: MIT */
#include "host/connection.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/address.h"
#include "host/chain.h"
#include "host/handle.h"
#include "host/host.h"
#include "host/rules.h"
#include "host/sentinel.h"
#include "host/worker.h"

MQ_Connection *host_connection_new(struct host_worker *worker, enum host_direction direction,
                                   struct host_stream *stream, void *owner)
{
    size_t plugins = (size_t)worker->host->plugin_count;
    MQ_Connection *connection = calloc(1, sizeof *connection + plugins * sizeof(void *));
    if (!connection)
        return NULL;
    host_handle_init(&connection->handle, HOST_KIND_CONNECTION, worker);
    connection->direction = direction;
    connection->stream = stream;
    connection->owner = owner;
    connection->plugin_data = (void **)(connection + 1);
    worker->connections++;
    return connection;
}

void host_connection_detach(MQ_Connection *connection)
{
    connection->stream = NULL;
    host_sentinel_free(connection->sentinel);
    connection->sentinel = NULL;
}

void host_connection_free(MQ_Connection *connection)
{
    struct host_worker *worker = connection->handle.worker;
    for (int i = 0; i < worker->host->plugin_count; i++)
        if (connection->plugin_data[i] && !worker->stopping)
            host_rule_warn("LK1", "%s left connection data behind", worker->host->plugins[i].path);
    if (host_chain_active(connection))
        host_chain_cancel(connection, true);
    host_connection_detach(connection);
    host_quarantine_put(&worker->quarantine, &connection->handle, "closed", NULL);
    host_worker_leave(worker);
}

MQ_Message *host_message_new(MQ_Connection *connection, host_json *json)
{
    struct host_worker *worker = connection->handle.worker;
    MQ_Message *message = malloc(sizeof *message);
    if (!message) {
        HOST_JSON(put)(json);
        return NULL;
    }
    *message = (MQ_Message){.connection = connection, .outgoing = connection->direction == HOST_OUTGOING};
    host_handle_init(&message->handle, HOST_KIND_MESSAGE, worker);
    message->json = HOST_JSON(get)(json); /* the second reference, see host_message_check */
    return message;
}

/* The host holds two references while plugins see the JSON. One that a plugin gave away by mistake is then
 * noticed before the tree is gone, with the public functions of both libraries. */
void host_message_check(MQ_Message *message, const char *event)
{
    if (HOST_JSON(put)(message->json))
        host_rule_broken(HOST_RULE_JS1, NULL, NULL, "after %s the message's JSON has a reference too few",
                         event);
    HOST_JSON(get)(message->json);
}

host_json *host_message_finish(MQ_Message *message)
{
    struct host_worker *worker = message->handle.worker;
    host_json *json = message->json;
    host_message_check(message, "the event");
    HOST_JSON(put)(json);
    for (int i = 0; i < 2; i++) {
        host_address_free(message->addresses[i], "the message is done");
        free(message->strings[i]);
        message->addresses[i] = NULL;
        message->strings[i] = NULL;
    }
    free(message->envelope);
    free(message->recipient);
    free(message->mime);
    message->envelope = message->recipient = message->mime = NULL;
    message->json = NULL;
    host_quarantine_put(&worker->quarantine, &message->handle, "the message is done", NULL);
    return json;
}

void host_message_release(host_json *json)
{
    if (!HOST_JSON(put)(json))
        host_rule_broken(HOST_RULE_JS1, NULL, NULL, "a plugin kept a reference to a message's JSON");
}
