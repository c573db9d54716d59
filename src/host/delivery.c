/* SPDX-License-Identifier: MIT */

#include "host/delivery.h"
#include "base/error.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

#include "host/message_json.h"
#include "host/mime_headers.h"
#include "host/smtp_command.h"

struct host_delivery *host_delivery_new(unsigned long number, host_json *json)
{
    struct host_delivery *delivery = calloc(1, sizeof *delivery);
    if (!delivery) {
        HOST_JSON(put)(json);
        return NULL;
    }
    delivery->number = number;
    delivery->json = json;
    return delivery;
}

void host_delivery_free(struct host_delivery *delivery)
{
    if (!delivery)
        return;
    HOST_JSON(put)(delivery->mime_value);
    HOST_JSON(put)(delivery->json);
    host_bytes_free(&delivery->edited);
    free(delivery->envelope);
    free(delivery->recipient);
    free(delivery->hostname);
    free(delivery->port);
    free(delivery->user);
    free(delivery->password);
    free(delivery);
}

static bool same_text(const char *one, const char *other)
{
    return one == other || (one && other && strcmp(one, other) == 0);
}

bool host_delivery_same_target(const struct host_delivery *one, const struct host_delivery *other)
{
    return one->address_size == other->address_size &&
           memcmp(&one->address, &other->address, one->address_size) == 0 &&
           same_text(one->user, other->user) && same_text(one->password, other->password) &&
           same_text(one->hostname, other->hostname);
}

const char *host_delivery_check_mime(const char *mime, size_t size, bool whole)
{
    bool separated = size >= 2 && memcmp(mime, "\r\n", 2) == 0;
    const char *end = mime + size;
    for (const char *line = mime; line < end;) {
        const char *lf = memchr(line, '\n', (size_t)(end - line));
        const char *stop = lf ? lf : end;
        const char *cr = memchr(line, '\r', (size_t)(stop - line));
        if (lf && (lf == line || lf[-1] != '\r'))
            return "MIME has a bare LF";
        if (cr && cr + 1 != lf)
            return "MIME has a bare CR";
        if (lf && lf == line + 1)
            separated = true;
        line = lf ? lf + 1 : end;
    }
    return whole && !separated ? "MIME has no empty line between header and body" : NULL;
}

static bool fail(struct host_result *result, const char *state, const char *what, const char *description)
{
    *result =
        (struct host_result){.state = state, .result = what, .messages = -1, .description = description};
    return false;
}

/* An address that may stand in a command; text is NULL when the property is no string. */
static bool is_address(const char *text, size_t size, const char *command)
{
    struct host_smtp_command parsed;
    struct host_bytes line = {0};
    if (!text || memchr(text, '\0', size))
        return false;
    bool ok = host_bytes_printf(&line, "%s:<%s> SMTPUTF8", command, text);
    size_t used = ok ? line.size - (strncmp(command, "RCPT", 4) == 0 ? strlen(" SMTPUTF8") : 0) : 0;
    ok = ok && host_smtp_command_parse(line.data, used, &parsed) == HOST_SMTP_OK &&
         strcmp(parsed.address, text) == 0;
    host_bytes_free(&line);
    return ok;
}

static bool prepare_addresses(struct host_delivery *delivery, struct host_result *result)
{
    size_t size = 0;
    const char *recipient = host_json_text(delivery->json, "recipient", &size);
    if (!is_address(recipient, size, "RCPT TO") || !strchr(recipient, '@'))
        return fail(result, "process", "invalid", "recipient is missing or no e-mail address");
    const char *envelope = host_json_text(delivery->json, "envelope", &size);
    if (host_json_get(delivery->json, "envelope") && !is_address(envelope, size, "MAIL FROM"))
        return fail(result, "process", "invalid", "envelope is no e-mail address");
    delivery->recipient = strdup(recipient);
    delivery->envelope = strdup(envelope ? envelope : "");
    return delivery->recipient && delivery->envelope ? true : fail(result, "process", "error", "no memory");
}

static bool prepare_limits(struct host_delivery *delivery, struct host_result *result)
{
    time_t limit;
    const char *text = host_json_text(delivery->json, "maxdelivertime", NULL);
    if (host_json_get(delivery->json, "maxdelivertime")) {
        if (!text || !host_message_json_parse_time(text, &limit))
            return fail(result, "process", "invalid", "maxdelivertime is no time");
        if (limit <= time(NULL))
            return fail(result, "process", "timeout", "maxdelivertime is over");
    }
    host_json *ips = host_json_get(delivery->json, "ips");
    if (ips && HOST_JSON_IS(ips, array) && HOST_JSON(array_length)(ips) == 0)
        return fail(result, "process", "error", "no usable local IP address");
    return true;
}

static bool prepare_mime(struct host_delivery *delivery, struct host_result *result)
{
    host_json *mime = host_json_get(delivery->json, "mime");
    if (!mime && !host_json_text(delivery->json, "key", NULL))
        return fail(result, "process", "invalid", "there is neither mime nor a key");
    if (mime && !HOST_JSON_IS(mime, string) && !HOST_JSON_IS(mime, object))
        return fail(result, "process", "invalid", "mime is neither a string nor an object");
    if (!mime || !HOST_JSON_IS(mime, string)) {
        delivery->no_mime = mime ? "responsive" : "storage";
        return true;
    }
    host_json *headers = host_json_get(delivery->json, "headers");
    delivery->mime_value = HOST_JSON(get)(mime);
    delivery->mime = HOST_JSON(get_string)(mime);
    delivery->mime_size = (size_t)HOST_JSON(get_string_len)(mime);
    const char *wrong = host_delivery_check_mime(delivery->mime, delivery->mime_size, false);
    if (wrong)
        return fail(result, "process", "invalid", wrong);
    if (!headers)
        return true;
    if (!host_mime_headers_apply(&delivery->edited, delivery->mime, delivery->mime_size, headers))
        return fail(result, "rewrite", "error", "no memory");
    delivery->mime = delivery->edited.data;
    delivery->mime_size = delivery->edited.size;
    return true;
}

/* HOST:PORT or [HOST]:PORT into new strings; false when malformed or without memory. */
static bool split_target(const char *text, char **hostname, char **port)
{
    const char *colon = strrchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : 0;
    if (length > 2 && text[0] == '[' && text[length - 1] == ']') {
        text++;
        length -= 2;
    }
    if (!length || !colon[1])
        return false;
    *hostname = strndup(text, length);
    *port = strdup(colon + 1);
    return *hostname && *port;
}

/* A string or number member as a new string; NULL when absent. */
static char *copy_member(host_json *json, const char *name)
{
    host_json *value = host_json_get(json, name);
    const char *text = value ? HOST_JSON(get_string)(value) : NULL;
    return text ? strdup(text) : NULL;
}

static bool prepare_target(struct host_delivery *delivery, const char *smarthost, struct host_result *result)
{
    host_json *own = host_json_get(delivery->json, "smarthost");
    delivery->hostname = copy_member(own, "hostname");
    if (delivery->hostname) {
        delivery->port = copy_member(own, "port");
        delivery->user = copy_member(own, "username");
        delivery->password = copy_member(own, "password");
        if (!delivery->port)
            delivery->port = strdup("25");
    } else if (!smarthost || !split_target(smarthost, &delivery->hostname, &delivery->port)) {
        return fail(result, "dns", "error", "no smarthost");
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int error = delivery->port ? getaddrinfo(delivery->hostname, delivery->port, &hints, &found) : EAI_MEMORY;
    if (error)
        return fail(result, "dns", "error", gai_strerror(error));
    memcpy(&delivery->address, found->ai_addr, found->ai_addrlen);
    delivery->address_size = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

bool host_delivery_prepare(struct host_delivery *delivery, const char *smarthost, struct host_result *result)
{
    return prepare_addresses(delivery, result) && prepare_mime(delivery, result) &&
           prepare_limits(delivery, result) && prepare_target(delivery, smarthost, result);
}
