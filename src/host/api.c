/* SPDX-License-Identifier: MIT */
#include "host/api.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "host/call.h"
#include "host/chain.h"
#include "host/handle.h"
#include "host/host.h"
#include "host/sentinel.h"
#include "host/stream.h"

static struct host_worker *check_connection(MQ_Connection *connection, const char *function, const void *site)
{
    return host_handle_check(connection, HOST_KIND_CONNECTION, HOST_RULE_TG1, function, site);
}

static void hand_back(MQ_Connection *connection, enum host_handback handback, const char *function,
                      const void *site)
{
    host_handle_check(connection, HOST_KIND_CONNECTION, HOST_RULE_CF5, function, site);
    host_chain_handback(connection, handback, function, site);
}

void host_api_continue(MQ_Connection *connection, const void *site)
{
    hand_back(connection, HOST_HANDBACK_CONTINUE, "MQ_continue", site);
}

void host_api_complete(MQ_Connection *connection, const void *site)
{
    hand_back(connection, HOST_HANDBACK_COMPLETE, "MQ_complete", site);
}

void host_api_retry(MQ_Connection *connection, const void *site)
{
    hand_back(connection, HOST_HANDBACK_RETRY, "MQ_retry", site);
}

void host_api_handback_context(MQ_Context *context, const void *site)
{
    host_rule_broken(HOST_RULE_CF4, site, NULL, "a hand-back as in MailerQ 3.0");
}

/* The data of contexts and connections is per plugin, and outside its mq_* callbacks a real MailerQ may not
 * know which one is calling. True when the caller must not get its own pointer. */
static bool data_is_poisoned(const struct host_worker *worker)
{
    return worker->frame.call == HOST_CALL_NONE ||
           (worker->frame.call == HOST_CALL_LOOP && !worker->host->knobs.data_in_loop_ok);
}

/* Some other plugin's pointer, so to say: using it crashes. */
static void *poison(void)
{
    return (void *)(uintptr_t)0xDEADDA7A;
}

static void check_data_setter(const struct host_worker *worker, const char *function, const void *site)
{
    if (data_is_poisoned(worker))
        host_rule_broken(HOST_RULE_CD1, site, NULL, "%s in a %s", function,
                         worker->frame.name ? worker->frame.name : "call of nobody");
}

void *host_api_context_data(MQ_Context *context, const void *site)
{
    struct host_worker *worker =
        host_handle_check(context, HOST_KIND_CONTEXT, HOST_RULE_TG1, "MQ_contextData", site);
    return data_is_poisoned(worker) ? poison() : context->plugin_data[worker->frame.plugin];
}

void host_api_set_context_data(MQ_Context *context, void *value, const void *site)
{
    struct host_worker *worker =
        host_handle_check(context, HOST_KIND_CONTEXT, HOST_RULE_TG1, "MQ_setContextData", site);
    check_data_setter(worker, "MQ_setContextData", site);
    context->plugin_data[worker->frame.plugin] = value;
}

struct ev_loop *host_api_ev(MQ_Context *context, const void *site)
{
    struct host_worker *worker = host_handle_check(context, HOST_KIND_CONTEXT, HOST_RULE_TG1, "MQ_ev", site);
    host_rule_warn("EV1", "%s called MQ_ev: what it returns cannot be used", host_call_plugin(worker));
    return poison();
}

/* A duplicate: what the plugin does to it is noticed after the callback. */
int host_api_file_descriptor(MQ_Connection *connection, const void *site)
{
    struct host_worker *worker = check_connection(connection, "MQ_fileDescriptor", site);
    if (connection->closed || !connection->stream || host_stream_fd(connection->stream) < 0)
        return -1;
    if (worker->host->knobs.strict_off)
        return host_stream_fd(connection->stream);
    if (!connection->sentinel)
        connection->sentinel = host_sentinel_new(host_stream_fd(connection->stream));
    return host_sentinel_fd(connection->sentinel);
}

/* The code at the start of what a plugin sends, 0 when there is none. */
static int reply_code(const char *text, size_t size)
{
    if (size < 3)
        return 0;
    for (int i = 0; i < 3; i++)
        if (text[i] < '0' || text[i] > '9')
            return 0;
    return (text[0] - '0') * 100 + (text[1] - '0') * 10 + text[2] - '0';
}

size_t host_api_send(MQ_Connection *connection, const void *buffer, size_t size, const void *site)
{
    struct host_worker *worker =
        host_handle_check(connection, HOST_KIND_CONNECTION, HOST_RULE_SN1, "MQ_send", site);
    if (connection->direction == HOST_OUTGOING)
        host_rule_broken(HOST_RULE_SN1, site, NULL, "MQ_send in an outgoing session");
    if (connection->closed || !connection->stream) {
        if (worker->host->knobs.strict_off)
            return 0;
        host_rule_broken(HOST_RULE_SN1, site, NULL, "MQ_send after the connection was closed");
    }
    if (!buffer && size)
        host_rule_broken(HOST_RULE_ST1, site, NULL, "MQ_send with NULL");
    host_stream_write(connection->stream, buffer, size);
    if (!connection->sent_code)
        connection->sent_code = reply_code(buffer, size);
    connection->sent = true;
    return size;
}

bool host_api_authenticated(MQ_Connection *connection, const void *site)
{
    check_connection(connection, "MQ_authenticated", site);
    return connection->authenticated;
}

void host_api_set_authenticated(MQ_Connection *connection, bool authenticated, const void *site)
{
    struct host_worker *worker = check_connection(connection, "MQ_setAuthenticated", site);
    if (connection->direction == HOST_OUTGOING)
        host_rule_broken(HOST_RULE_AU1, site, NULL, "MQ_setAuthenticated in an outgoing session");
    if (connection->chain.event == HOST_EVENT_AUTHENTICATE && host_chain_active(connection)) {
        connection->authenticated = authenticated;
        return;
    }
    bool honour = worker->host->knobs.auth_outside_honour;
    host_rule_warn("AU2", "%s called MQ_setAuthenticated outside mq_smtp_in_authenticate, which is %s",
                   host_call_plugin(worker), honour ? "honoured" : "ignored");
    if (honour)
        connection->authenticated = authenticated;
}

bool host_api_secure(MQ_Connection *connection, const void *site)
{
    check_connection(connection, "MQ_secure", site);
    return connection->stream && host_stream_secure(connection->stream);
}

void *host_api_connection_data(MQ_Connection *connection, const void *site)
{
    struct host_worker *worker = check_connection(connection, "MQ_connectionData", site);
    return data_is_poisoned(worker) ? poison() : connection->plugin_data[worker->frame.plugin];
}

void host_api_set_connection_data(MQ_Connection *connection, void *data, const void *site)
{
    struct host_worker *worker = check_connection(connection, "MQ_setConnectionData", site);
    check_data_setter(worker, "MQ_setConnectionData", site);
    connection->plugin_data[worker->frame.plugin] = data;
}

void host_api_log(int priority, const char *message, const void *site)
{
    static const char *const levels[] = {"[Critical]", "[Warning]", "[Info]"};
    bool known = priority >= MQ_CRIT && priority <= MQ_INFO;
    struct tm parts;
    char when[32];
    if (!message)
        host_rule_broken(HOST_RULE_LG1, site, NULL, "MQ_log with NULL");
    if (strpbrk(message, "\r\n"))
        host_rule_broken(HOST_RULE_LG1, site, NULL, "MQ_log with a line end: %s", message);
    time_t now = time(NULL);
    gmtime_r(&now, &parts);
    strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &parts);
    fprintf(stderr, "%-10s [%s] [plugin] %s%s\n", known ? levels[priority - MQ_CRIT] : "[Info]", when,
            known ? "" : "(invalid priority) ", message);
}
