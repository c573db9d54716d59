/* SPDX-License-Identifier: MIT */

/* policy.lua written by hand as a C plugin: what it would cost without a bridge. The tables are beside the
 * source; their folder is in MAILERQ_LUA_POLICY, as for the Lua policy. */

#include "mailerq.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <libfastjson/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <uthash.h>

enum { KEY_MOST = 1000, RECIPIENTS_MOST = 100 };

typedef struct entry {
    UT_hash_handle hh;
    char *value;
    char key[];
} entry;

typedef struct network {
    int family, bits;
    unsigned char address[16];
} network;

typedef struct networks {
    size_t count;
    network list[1000];
} networks;

typedef struct client {
    bool partner;
    int recipients;
} client;

/* Read once in mq_initialize, then only read. */
static entry *senders, *recipients, *customers;
static networks refused, partners;

/* ---- tables ---- */

static char *folder_path(char *path, size_t size, const char *name)
{
    const char *policy = getenv("MAILERQ_LUA_POLICY");
    const char *slash = policy ? strrchr(policy, '/') : NULL;
    snprintf(path, size, "%.*s%s", slash ? (int)(slash - policy + 1) : 0, policy ? policy : "", name);
    return path;
}

/* Calls add with the two words of each line that is no comment. */
static void read_file(const char *name, void (*add)(void *to, const char *key, const char *value), void *to)
{
    char path[PATH_MAX], line[2 * KEY_MOST];
    FILE *file = fopen(folder_path(path, sizeof path, name), "r");
    while (file && fgets(line, sizeof line, file)) {
        char *rest, *key = strtok_r(line, " \t\r\n", &rest);
        char *value = key ? strtok_r(NULL, "\r\n", &rest) : NULL;
        if (key && *key != '#')
            add(to, key, value ? value + strspn(value, " \t") : "");
    }
    if (file)
        fclose(file);
}

static void add_entry(void *to, const char *key, const char *value)
{
    entry **table = to;
    size_t size = strlen(key);
    entry *e = calloc(1, sizeof *e + size + 1);
    if (!e)
        return;
    for (size_t i = 0; i < size; i++)
        e->key[i] = (char)tolower((unsigned char)key[i]);
    e->value = strdup(value);
    HASH_ADD_KEYPTR(hh, *table, e->key, size, e);
}

static void add_network(void *to, const char *key, const char *value)
{
    networks *set = to;
    network *n = &set->list[set->count];
    char text[INET6_ADDRSTRLEN];
    size_t size = strcspn(key, "/");
    snprintf(text, sizeof text, "%.*s", (int)size, key);
    n->family = strchr(text, ':') ? AF_INET6 : AF_INET;
    n->bits = key[size] ? atoi(key + size + 1) : n->family == AF_INET6 ? 128 : 32;
    if (set->count + 1 < sizeof set->list / sizeof *set->list && inet_pton(n->family, text, n->address) == 1)
        set->count++;
}

static const char *find(entry *table, const char *key, size_t size)
{
    entry *e;
    HASH_FIND(hh, table, key, size, e);
    return e ? e->value : NULL;
}

/* The value of user@domain, else of @domain. */
static const char *lookup(entry *table, const char *email)
{
    char key[KEY_MOST];
    size_t size = 0, at = 0;
    for (; email && email[size] && size < sizeof key; size++) {
        key[size] = (char)tolower((unsigned char)email[size]);
        if (key[size] == '@')
            at = size;
    }
    if (!size || size == sizeof key)
        return NULL;
    const char *value = find(table, key, size);
    return value ? value : find(table, key + at, size - at);
}

static bool contains(const networks *set, int family, const unsigned char *address)
{
    for (size_t i = 0; i < set->count; i++) {
        const network *n = &set->list[i];
        int bytes = n->bits / 8, rest = n->bits % 8;
        unsigned char mask = (unsigned char)(0xff00 >> rest);
        if (n->family == family && memcmp(n->address, address, (size_t)bytes) == 0 &&
            (!rest || ((n->address[bytes] ^ address[bytes]) & mask) == 0))
            return true;
    }
    return false;
}

/* ---- plugin ---- */

int mq_version(void)
{
    return MQ_API_VERSION;
}

void mq_initialize(void)
{
    read_file("senders.txt", add_entry, &senders);
    read_file("recipients.txt", add_entry, &recipients);
    read_file("customers.txt", add_entry, &customers);
    read_file("refused.txt", add_network, &refused);
    read_file("partners.txt", add_network, &partners);
}

/* Control is kept: the client leaves after the 421. */
static bool refuse(MQ_Connection *connection, const char *reply)
{
    MQ_send(connection, reply, strlen(reply));
    return true;
}

bool mq_smtp_in_connect(MQ_Context *context, MQ_Connection *connection)
{
    struct sockaddr_storage peer = {0};
    socklen_t size = sizeof peer;
    client *c = calloc(1, sizeof *c);
    if (!c || getpeername(MQ_fileDescriptor(connection), (struct sockaddr *)&peer, &size) != 0) {
        free(c);
        return false;
    }
    const unsigned char *address = peer.ss_family == AF_INET6
                                       ? (unsigned char *)&((struct sockaddr_in6 *)&peer)->sin6_addr
                                       : (unsigned char *)&((struct sockaddr_in *)&peer)->sin_addr;
    if (contains(&refused, peer.ss_family, address)) {
        free(c);
        return refuse(connection, "421 4.7.0 Not from your network\r\n");
    }
    c->partner = contains(&partners, peer.ss_family, address);
    MQ_setConnectionData(connection, c);
    return false;
}

bool mq_smtp_in_mailfrom(MQ_Context *context, MQ_Connection *connection, MQ_Address *envelope)
{
    client *c = MQ_connectionData(connection);
    if (c)
        c->recipients = 0;
    if (lookup(senders, MQ_email(envelope)))
        return refuse(connection, "550 5.7.1 Sender is blocked\r\n421 4.7.0 Closing connection\r\n");
    return false;
}

bool mq_smtp_in_rcptto(MQ_Context *context, MQ_Connection *connection, MQ_Address *address)
{
    client *c = MQ_connectionData(connection);
    const char *class = lookup(recipients, MQ_email(address));
    if (class && strcmp(class, "moved") == 0)
        return refuse(connection, "550 5.1.6 This mailbox has moved\r\n421 4.7.0 Closing connection\r\n");
    if (c && ++c->recipients > RECIPIENTS_MOST && !c->partner)
        return refuse(connection, "452 4.5.3 Too many recipients\r\n421 4.7.0 Closing connection\r\n");
    return false;
}

/* ---- messages ---- */

static struct fjson_object *get(struct fjson_object *object, const char *key)
{
    struct fjson_object *value;
    return fjson_object_object_get_ex(object, key, &value) ? value : NULL;
}

static const char *get_string(struct fjson_object *object, const char *key)
{
    struct fjson_object *value = get(object, key);
    return value && fjson_object_is_type(value, fjson_type_string) ? fjson_object_get_string(value) : NULL;
}

static void tag(struct fjson_object *json, const char *text)
{
    struct fjson_object *tags = get(json, "tags");
    if (!tags || !fjson_object_is_type(tags, fjson_type_array))
        fjson_object_object_add(json, "tags", tags = fjson_object_new_array());
    int count = fjson_object_array_length(tags);
    for (int i = 0; i < count; i++) {
        const char *there = fjson_object_get_string(fjson_object_array_get_idx(tags, i));
        if (there && strcmp(there, text) == 0)
            return;
    }
    fjson_object_array_add(tags, fjson_object_new_string(text));
}

static void quarantine(struct fjson_object *json, MQ_Message *message, const char *reason)
{
    static const char mailbox[] = "traps@platform.example";
    struct fjson_object *note = fjson_object_new_object(), *dsn = get(json, "dsn");
    fjson_object_object_add(note, "verdict", fjson_object_new_string("quarantine"));
    fjson_object_object_add(note, "recipient", fjson_object_new_string(get_string(json, "recipient")));
    fjson_object_object_add(note, "generation", fjson_object_new_int(1));
    fjson_object_object_add(note, "reason", fjson_object_new_string(reason));
    fjson_object_object_add(json, "mailerq-lua", note);
    if (!dsn || !fjson_object_is_type(dsn, fjson_type_object))
        fjson_object_object_add(json, "dsn", dsn = fjson_object_new_object());
    fjson_object_object_add(dsn, "notify", fjson_object_new_string("NEVER"));
    tag(json, "quarantine");
    fjson_object_object_del(json, "smarthost");
    fjson_object_object_del(json, "pool");
    fjson_object_object_del(json, "ips");
    MQ_setRecipient(message, mailbox, sizeof mailbox - 1);
}

bool mq_smtp_in_message(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    struct fjson_object *json = MQ_json(message);
    client *c = MQ_connectionData(connection);
    tag(json, c && c->partner ? "partner" : "public");
    if (!get(json, "message-id") || !get(json, "received") || !get(json, "hostname"))
        tag(json, "incomplete");
    if (MQ_secure(connection))
        tag(json, "tls");
    const char *pool = lookup(customers, get_string(json, "envelope"));
    fjson_object_object_add(json, "pool", fjson_object_new_string(pool ? pool : "shared"));
    const char *class = lookup(recipients, get_string(json, "recipient"));
    if (class && strcmp(class, "trap") == 0)
        quarantine(json, message, "spam trap");
    return false;
}

bool mq_smtp_in_close(MQ_Context *context, MQ_Connection *connection)
{
    free(MQ_connectionData(connection));
    MQ_setConnectionData(connection, NULL);
    return false;
}
