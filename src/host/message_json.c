/* SPDX-License-Identifier: MIT */

#include "host/message_json.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/ascii.h"

/* How a header's value becomes JSON. */
enum form { TEXT, INTEGER, BOOLEAN, TEXTS, INTEGERS };

/* x-mq-<header>: json, or json.member where member is given */
static const struct {
    const char *header;
    const char *json;
    const char *member;
    enum form form;
} properties[] = {
    {"ip", "ips", NULL, TEXTS},
    {"pool", "pool", NULL, TEXT},
    {"tag", "tags", NULL, TEXTS},
    {"delayed", "nextattempt", "time", TEXT},
    {"maxdelivertime", "maxdelivertime", NULL, TEXT},
    {"maxattempts", "maxattempts", NULL, INTEGER},
    {"retries", "retries", NULL, INTEGERS},
    {"inlinecss", "inlinecss", NULL, BOOLEAN},
    {"keepmime", "keepmime", NULL, BOOLEAN},
    {"priority", "priority", NULL, INTEGER},
    {"results-queue", "queues", "results", TEXT},
    {"failure-queue", "queues", "failure", TEXT},
    {"success-queue", "queues", "success", TEXT},
    {"retry-queue", "queues", "retry", TEXT},
    {"smarthost-hostname", "smarthost", "hostname", TEXT},
    {"smarthost-port", "smarthost", "port", INTEGER},
    {"smarthost-username", "smarthost", "username", TEXT},
    {"smarthost-password", "smarthost", "password", TEXT},
    {"dsn-notify", "dsn", "notify", TEXT},
    {"dsn-ret", "dsn", "ret", TEXT},
    {"dsn-orcpt", "dsn", "orcpt", TEXT},
    {"dsn-envid", "dsn", "envid", TEXT},
};

/* Keys that a header must not set: the server knows better, or they have another shape. */
static const char *const reserved[] = {
    "envelope", "recipient", "mime",  "key",  "message-id", "hostname",    "received", "connection",
    "checks",   "results",   "spool", "http", "cli",        "dsn",         "queues",   "smarthost",
    "ips",      "tags",      "data",  "dkim", "headers",    "nextattempt",
};

static bool is_reserved(const char *name)
{
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (strcmp(reserved[i], name) == 0)
            return true;
    return false;
}

/* The whole text as an integer; false when it is none. */
static bool parse_integer(const char *text, int64_t *value)
{
    char *end;
    *value = strtoll(text, &end, 10);
    return end != text && *end == '\0';
}

static host_json *to_text(const char *text)
{
    return host_json_string(text, strlen(text));
}

static host_json *to_integers(const char *text)
{
    host_json *array = HOST_JSON(new_array)();
    char *copy = strdup(text), *rest = NULL;
    bool ok = array && copy;
    for (char *word = ok ? strtok_r(copy, ", \t", &rest) : NULL; word; word = strtok_r(NULL, ", \t", &rest)) {
        int64_t value;
        if (parse_integer(word, &value))
            HOST_JSON(array_add)(array, HOST_JSON(new_int64)(value));
    }
    free(copy);
    if (ok)
        return array;
    HOST_JSON(put)(array);
    return NULL;
}

/* A new value in that form; text that does not fit the form stays text. NULL without memory. */
static host_json *to_json(const char *text, enum form form)
{
    int64_t number;
    if (form == INTEGER && parse_integer(text, &number))
        return HOST_JSON(new_int64)(number);
    if (form == BOOLEAN)
        return HOST_JSON(new_boolean)(strcmp(text, "1") == 0 || mqlua_ascii_equal(text, "true"));
    if (form == INTEGERS)
        return to_integers(text);
    return to_text(text);
}

/* The member name of json, borrowed; made when it is not there. NULL without memory. */
static host_json *member(host_json *json, const char *name, bool array)
{
    host_json *value = host_json_get(json, name);
    if (value)
        return value;
    value = array ? HOST_JSON(new_array)() : HOST_JSON(new_object)();
    return host_json_set(json, name, value) ? value : NULL;
}

/* *known: name is one of the properties. False without memory. */
static bool apply_property(host_json *json, const char *name, const char *text, bool *known)
{
    size_t i = 0;
    while (i < sizeof properties / sizeof *properties && strcmp(properties[i].header, name) != 0)
        i++;
    *known = i < sizeof properties / sizeof *properties;
    if (!*known)
        return true;
    if (properties[i].form == TEXTS) {
        host_json *array = member(json, properties[i].json, true);
        host_json *value = array ? to_text(text) : NULL;
        return value && HOST_JSON(array_add)(array, value) == 0;
    }
    const char *key = properties[i].member ? properties[i].member : properties[i].json;
    host_json *object = properties[i].member ? member(json, properties[i].json, false) : json;
    /* what came with MAIL and RCPT is there already and wins */
    return object &&
           (host_json_has(object, key) || host_json_set(object, key, to_json(text, properties[i].form)));
}

/* Where the header line at line ends, its continuation lines included. */
static const char *field_end(const char *line, const char *end)
{
    const char *at = line;
    do {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        at = lf ? lf + 1 : end;
    } while (at < end && (*at == ' ' || *at == '\t'));
    return at;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Appends "name\0value\0" for the field between line and end; the value is unfolded and trimmed. */
static bool add_extra(struct host_bytes *extras, const char *line, const char *end)
{
    line += strlen("x-mq-");
    const char *colon = memchr(line, ':', (size_t)(end - line));
    const char *name_end = colon ? colon : line;
    while (name_end > line && is_blank(name_end[-1]))
        name_end--;
    if (name_end == line)
        return true;
    for (const char *c = line; c < name_end; c++) {
        char lower = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
        if (!host_bytes_add(extras, lower ? &lower : "?", 1))
            return false;
    }
    bool ok = host_bytes_add(extras, "", 1);
    const char *at = colon + 1;
    while (at < end && is_blank(*at))
        at++;
    while (end > at && is_blank(end[-1]))
        end--;
    for (; ok && at < end; at++)
        if (*at && *at != '\r' && *at != '\n')
            ok = host_bytes_add(extras, at, 1);
    return ok && host_bytes_add(extras, "", 1);
}

bool host_message_json_extract(const char *mime, size_t size, bool extract, struct host_message_mime *out)
{
    *out = (struct host_message_mime){.data = mime, .size = size};
    const char *end = mime + size;
    const char *kept = mime; /* from here to line nothing has to go */
    bool found = false;
    for (const char *line = mime, *next; extract && line < end; line = next) {
        if (*line == '\n' || (*line == '\r' && end - line > 1 && line[1] == '\n'))
            break;
        next = field_end(line, end);
        if (!mqlua_ascii_begins(line, (size_t)(end - line), "x-mq-"))
            continue;
        if ((!found && !host_bytes_reserve(&out->owned, size)) ||
            !host_bytes_add(&out->owned, kept, (size_t)(line - kept)) || !add_extra(&out->extras, line, next))
            return false;
        found = true;
        kept = next;
    }
    if (!found)
        return true;
    if (!host_bytes_add(&out->owned, kept, (size_t)(end - kept)))
        return false;
    out->data = out->owned.data;
    out->size = out->owned.size;
    return true;
}

void host_message_json_extract_free(struct host_message_mime *mime)
{
    host_bytes_free(&mime->owned);
    host_bytes_free(&mime->extras);
    *mime = (struct host_message_mime){0};
}

/* A text that may be absent: NULL and "" store nothing. */
static bool set_optional(host_json *json, const char *name, const char *text)
{
    return !text || !*text || host_json_set_text(json, name, text);
}

static bool add_connection(host_json *json, const struct host_message_facts *facts)
{
    host_json *connection = HOST_JSON(new_object)();
    if (!host_json_set(json, "connection", connection))
        return false;
    return set_optional(connection, "local-ip", facts->local_ip) &&
           set_optional(connection, "remote-ip", facts->remote_ip) &&
           host_json_set_int(connection, "local-port", facts->local_port) &&
           host_json_set_int(connection, "remote-port", facts->remote_port) &&
           host_json_set_bool(connection, "secure", facts->secure) &&
           set_optional(connection, "user", facts->secure ? facts->user : NULL);
}

static bool add_dsn(host_json *json, const struct host_message_facts *facts, const char *notify,
                    const char *orcpt)
{
    const char *const values[] = {notify, facts->dsn_ret, orcpt, facts->dsn_envid};
    static const char *const names[] = {"notify", "ret", "orcpt", "envid"};
    for (size_t i = 0; i < 4; i++) {
        if (!values[i] || !*values[i])
            continue;
        host_json *dsn = member(json, "dsn", false);
        if (!dsn || !host_json_set_text(dsn, names[i], values[i]))
            return false;
    }
    return true;
}

/* A key of the sender's own. */
struct extra {
    const char *name; /* where it stands in the mail, too */
    const char *value;
};

static int by_name(const void *a, const void *b)
{
    const struct extra *one = a, *other = b;
    int order = strcmp(one->name, other->name);
    return order ? order : (one->name > other->name) - (one->name < other->name);
}

static int by_place(const void *a, const void *b)
{
    const struct extra *one = a, *other = b;
    return (one->name > other->name) - (one->name < other->name);
}

/* Of a key that comes several times the last value counts. Sorting costs less than a look at all members for
 * each of what can be any number of keys. */
static bool add_own(host_json *json, struct extra *list, size_t count)
{
    size_t kept = 0;
    qsort(list, count, sizeof *list, by_name);
    for (size_t i = 0; i < count; i++) {
        if (kept && strcmp(list[kept - 1].name, list[i].name) == 0)
            list[kept - 1].value = list[i].value;
        else
            list[kept++] = list[i];
    }
    qsort(list, kept, sizeof *list, by_place);
    for (size_t i = 0; i < kept; i++)
        if (!host_json_set_new(json, list[i].name, to_text(list[i].value)))
            return false;
    return true;
}

/* The properties come first, as long as the object is small: each of them looks for what is there. */
static bool add_extras(host_json *json, const struct host_bytes *extras)
{
    size_t count = 0, most = 0;
    for (size_t at = 0; at < extras->size; at += strlen(extras->data + at) + 1)
        most++;
    struct extra *list = most ? malloc(most / 2 * sizeof *list) : NULL;
    bool ok = list || !most;
    for (size_t at = 0; ok && at < extras->size;) {
        const char *name = extras->data + at, *value = name + strlen(name) + 1;
        bool known;
        ok = apply_property(json, name, value, &known);
        if (!known && !is_reserved(name))
            list[count++] = (struct extra){name, value};
        at += strlen(name) + strlen(value) + 2;
    }
    ok = ok && (!count || add_own(json, list, count));
    free(list);
    return ok;
}

host_json *host_message_json_build(const struct host_message_facts *facts,
                                   const struct host_message_mime *mime, const char *recipient,
                                   const char *message_id, const char *dsn_notify, const char *dsn_orcpt)
{
    char received[HOST_MESSAGE_TIME_SIZE];
    host_json *json = HOST_JSON(new_object)();
    bool ok = json && set_optional(json, "envelope", facts->envelope) &&
              host_json_set_text(json, "recipient", recipient) &&
              host_json_set(json, "mime", host_json_string(mime->data, mime->size));
    if (ok && !facts->minimal) {
        host_message_json_time(facts->received, received);
        ok = host_json_set_text(json, "received", received) &&
             set_optional(json, "hostname", facts->hostname) &&
             set_optional(json, "message-id", message_id) && add_connection(json, facts) &&
             add_dsn(json, facts, dsn_notify, dsn_orcpt);
    }
    if (ok && add_extras(json, &mime->extras))
        return json;
    HOST_JSON(put)(json);
    return NULL;
}

const char *host_message_json_check(host_json *json, const char *given)
{
    if (!json || !HOST_JSON_IS(json, object))
        return "the message is no object";
    size_t size = 0;
    const char *recipient = host_json_text(json, "recipient", &size);
    if (!recipient)
        return "recipient is missing or no string";
    bool unchanged = given && strlen(given) == size && memcmp(recipient, given, size) == 0;
    if (!unchanged && (!memchr(recipient, '@', size) || memchr(recipient, '\0', size)))
        return "recipient is no e-mail address";
    if (!host_json_text(json, "envelope", NULL) && host_json_has(json, "envelope"))
        return "envelope is no string";
    host_json *mime = host_json_get(json, "mime");
    if (mime && !HOST_JSON_IS(mime, string) && !HOST_JSON_IS(mime, object))
        return "mime is neither a string nor an object";
    if (!mime && !host_json_text(json, "key", NULL))
        return "there is neither mime nor a key";
    return NULL;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint64_t process_id; /* random: told apart from other processes and machines */
static atomic_uint_fast64_t last_id;

static void make_process_id(void)
{
    if (getrandom(&process_id, sizeof process_id, 0) != sizeof process_id) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        process_id = (uint64_t)now.tv_sec * 1000000007u ^ (uint64_t)now.tv_nsec;
    }
}

void host_message_json_id(char id[HOST_MESSAGE_ID_SIZE])
{
    pthread_once(&once, make_process_id);
    unsigned long long number = atomic_fetch_add(&last_id, 1) + 1;
    snprintf(id, HOST_MESSAGE_ID_SIZE, "%016llx%06llx", (unsigned long long)process_id, number);
}

void host_message_json_time(time_t time, char text[HOST_MESSAGE_TIME_SIZE])
{
    struct tm parts;
    text[0] = '\0';
    if (gmtime_r(&time, &parts))
        strftime(text, HOST_MESSAGE_TIME_SIZE, "%Y-%m-%d %H:%M:%S", &parts);
}

bool host_message_json_parse_time(const char *text, time_t *time)
{
    static const char shape[] = "dddd-dd-dd dd:dd:dd";
    char again[HOST_MESSAGE_TIME_SIZE];
    struct tm parts = {0};
    for (size_t i = 0; i < sizeof shape; i++)
        if (shape[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != shape[i])
            return false;
    if (!strptime(text, "%Y-%m-%d %H:%M:%S", &parts))
        return false;
    *time = timegm(&parts);
    host_message_json_time(*time, again); /* 30 February has become 2 March */
    return strcmp(text, again) == 0;
}
