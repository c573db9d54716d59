/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "host/address.h"
#include "host/api.h"
#include "host/call.h"
#include "host/handle.h"
#include "host/host.h"

enum { ENVELOPE, RECIPIENT };

static const char *const properties[] = {"envelope", "recipient"};

static struct host_worker *check_message(MQ_Message *message, const char *function, const void *site)
{
    return host_handle_check(message, HOST_KIND_MESSAGE, HOST_RULE_TG1, function, site);
}

static void check_writable(MQ_Message *message, const void *value, const char *function, const void *site)
{
    check_message(message, function, site);
    if (message->frozen)
        host_rule_broken(HOST_RULE_ST2, site, NULL, "%s in mq_smtp_out_sent", function);
    if (!value)
        host_rule_broken(HOST_RULE_ST1, site, NULL, "%s with NULL", function);
}

host_json *host_api_json(MQ_Message *message, const void *site)
{
    check_message(message, "MQ_json", site);
    return message->json;
}

/* The current text: on outgoing mail what a plugin set, else the JSON's. NULL when there is none. */
static const char *current(MQ_Message *message, int which)
{
    const char *set = which == ENVELOPE ? message->envelope : message->recipient;
    return set ? set : host_json_text(message->json, properties[which], NULL);
}

static const char *as_string(MQ_Message *message, int which)
{
    const char *text = current(message, which);
    if (!text)
        return NULL;
    if (!message->strings[which] || strcmp(message->strings[which], text) != 0) {
        free(message->strings[which]);
        message->strings[which] = strdup(text);
    }
    return message->strings[which];
}

static const void *get_address(MQ_Message *message, int which, const char *function, const void *site)
{
    struct host_worker *worker = check_message(message, function, site);
    const char *text = current(message, which);
    if (worker->host->knobs.recipient_string || worker->host->knobs.api == HOST_API_30)
        return as_string(message, which);
    if (which == ENVELOPE && !text && worker->null_senders++ % 2 == 0)
        return NULL; /* "NULL if none", and an address without text the other time */
    MQ_Address **address = &message->addresses[which];
    host_address_free(*address, "it was asked for again");
    *address = host_address_new(worker, text, NULL, message);
    return *address;
}

const void *host_api_envelope(MQ_Message *message, const void *site)
{
    return get_address(message, ENVELOPE, "MQ_envelope", site);
}

const void *host_api_recipient(MQ_Message *message, const void *site)
{
    return get_address(message, RECIPIENT, "MQ_recipient", site);
}

/* Reads exactly size bytes. Aborts without memory. */
static char *copy_text(const char *text, size_t size)
{
    char *copy = malloc(size + 1);
    if (!copy)
        host_rule_broken(HOST_RULE_NM1, NULL, NULL, "no memory for %zu bytes", size);
    memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

static void set_json(MQ_Message *message, const char *name, const char *text, size_t size)
{
    if (!host_json_set(message->json, name, host_json_string(text, size)))
        host_rule_broken(HOST_RULE_NM1, NULL, NULL, "no memory for the property %s of %zu bytes", name, size);
}

static void set_address(MQ_Message *message, int which, const char *text, size_t size, const char *function,
                        const void *site)
{
    check_writable(message, text, function, site);
    if (memchr(text, '\0', size))
        host_rule_broken(HOST_RULE_ST1, site, NULL, "%s with a NUL byte", function);
    host_address_free(message->addresses[which], "it was replaced");
    message->addresses[which] = NULL;
    if (!message->outgoing) {
        set_json(message, properties[which], text, size);
        return;
    }
    host_rule_warn("OE1", "%s after %s was sent has no effect", function,
                   which == ENVELOPE ? "MAIL FROM" : "RCPT TO");
    char **target = which == ENVELOPE ? &message->envelope : &message->recipient;
    free(*target);
    *target = copy_text(text, size);
}

void host_api_set_envelope(MQ_Message *message, const char *envelope, size_t size, const void *site)
{
    set_address(message, ENVELOPE, envelope, size, "MQ_setEnvelope", site);
}

void host_api_set_recipient(MQ_Message *message, const char *recipient, size_t size, const void *site)
{
    set_address(message, RECIPIENT, recipient, size, "MQ_setRecipient", site);
}

const char *host_api_mime(MQ_Message *message, const void *site)
{
    check_message(message, "MQ_mime", site);
    return message->outgoing ? message->mime : host_json_text(message->json, "mime", NULL);
}

void host_api_set_mime(MQ_Message *message, const char *mime, size_t size, const void *site)
{
    check_writable(message, mime, "MQ_setMime", site);
    if (!message->outgoing) {
        set_json(message, "mime", mime, size);
        return;
    }
    free(message->mime);
    message->mime = copy_text(mime, size);
    message->mime_size = size;
}

/* Where the local mark of a handle is kept; NULL where it can have no effect. */
static bool *local_mark(void *handle, const char *function, const void *site)
{
    const struct host_handle *tag = handle;
    bool knows_host = tag && tag->mark[0] == 0xFF;
    if (knows_host && tag->worker->host->knobs.local_message) {
        MQ_Message *message = handle;
        check_message(message, function, site);
        return message->outgoing ? NULL : &message->local;
    }
    MQ_Address *address = handle;
    host_handle_check(address, HOST_KIND_ADDRESS, HOST_RULE_TG1, function, site);
    if (address->connection)
        return &address->connection->chain.rcpt_local;
    return address->message && !address->message->outgoing ? &address->message->local : NULL;
}

bool host_api_local(void *handle, const void *site)
{
    bool *mark = local_mark(handle, "MQ_local", site);
    return mark && *mark;
}

void host_api_set_local(void *handle, bool local, const void *site)
{
    bool *mark = local_mark(handle, "MQ_setLocal", site);
    if (mark)
        *mark = local;
    else
        host_rule_warn("LC1", "MQ_setLocal has no effect here");
}

const char *host_api_email(MQ_Address *address, const void *site)
{
    host_handle_check(address, HOST_KIND_ADDRESS, HOST_RULE_TG1, "MQ_email", site);
    return address->email;
}
