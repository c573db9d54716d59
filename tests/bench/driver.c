/* SPDX-License-Identifier: MIT */

/*
 * A host without a network: calls the exported functions of a plugin in a loop, so that valgrind counts their
 * instructions exactly, and a clock measures what is too short for a socket. Functions of the host are as
 * short as they can be; the tree of a message is a real one.
 *
 *   bench_driver events PLUGIN WARM COUNT SESSION...   callgrind dumps: one for each event, COUNT calls in
 * each bench_driver message PLUGIN WARM COUNT SESSION KEY... nanoseconds of each mq_smtp_in_message; KEYs are
 * put back as they were in between bench_driver memory PLUGIN COUNT SESSION           bytes of COUNT
 * connections in each of their stages bench_driver parked PLUGIN COUNT SESSION           the same for
 * connections whose MAIL FROM waits; until all are back
 *
 * SESSION is a JSON file: the message as MQ_json returns it. Its envelope, recipient and mime are what the
 * client sends. All results are lines "NAME NUMBER..." on standard output.
 */

#include "bench_host.h"
#include <dlfcn.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/callgrind.h>

enum { SESSIONS = 64 };

static MQ_Context context;

static void fail(const char *what, const char *which)
{
    fprintf(stderr, "bench_driver: %s %s\n", what, which ? which : "");
    exit(2);
}

/* ---- the plugin and its sessions ---- */

enum event {
    CONNECT,
    SECURE,
    AUTHENTICATE,
    MAILFROM,
    RCPTTO,
    DATA,
    MESSAGE,
    CLOSE,
    OUT_DATA,
    OUT_SENT,
    EVENTS
};

static const char *const names[EVENTS] = {
    "smtp_in_connect", "smtp_in_secure",  "smtp_in_authenticate", "smtp_in_mailfrom", "smtp_in_rcptto",
    "smtp_in_data",    "smtp_in_message", "smtp_in_close",        "smtp_out_data",    "smtp_out_sent",
};

typedef bool (*plain)(MQ_Context *, MQ_Connection *);
typedef bool (*with_login)(MQ_Context *, MQ_Connection *, const char *, size_t, const char *, size_t);
typedef bool (*with_address)(MQ_Context *, MQ_Connection *, MQ_Address *);
typedef bool (*with_bytes)(MQ_Context *, MQ_Connection *, const char *, size_t);
typedef bool (*with_message)(MQ_Context *, MQ_Connection *, MQ_Message *);

static void *functions[EVENTS]; /* NULL: not exported, never called */
static void *library;

typedef struct session {
    struct fjson_object *json;
    const char *text; /* to parse again */
    char *envelope, *recipient;
} session;

static void *symbol(const char *name)
{
    char full[64];
    snprintf(full, sizeof full, "mq_%s", name);
    return dlsym(library, full);
}

static void call_if_there(const char *name, bool in_context)
{
    void *function = symbol(name);
    if (function && in_context)
        ((void (*)(MQ_Context *))function)(&context);
    else if (function)
        ((void (*)(void))function)();
}

static void load(const char *path)
{
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        fail("cannot load", dlerror());
    for (int i = 0; i < EVENTS; i++)
        functions[i] = symbol(names[i]);
    int (*version)(void) = (int (*)(void))symbol("version");
    if (!version || version() != MQ_API_VERSION)
        fail("the plugin does not want to run:", path);
    call_if_there("initialize", false);
    call_if_there("context_initialize", true);
}

static void unload(void)
{
    call_if_there("context_cleanup", true);
    call_if_there("cleanup", false);
}

static char *read_text(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0)
        fail("cannot read", path);
    long size = ftell(file);
    char *text = malloc((size_t)size + 1);
    rewind(file);
    if (!text || fread(text, 1, (size_t)size, file) != (size_t)size)
        fail("cannot read", path);
    text[size] = '\0';
    fclose(file);
    return text;
}

static session session_read(const char *path)
{
    session s = {.text = read_text(path)};
    s.json = fjson_tokener_parse(s.text);
    if (!s.json || !bench_host_text(s.json, "envelope") || !bench_host_text(s.json, "recipient") ||
        !bench_host_text(s.json, "mime"))
        fail("no message with envelope, recipient and mime:", path);
    s.envelope = strdup(bench_host_text(s.json, "envelope"));
    s.recipient = strdup(bench_host_text(s.json, "recipient"));
    return s;
}

static void session_renew(session *s)
{
    fjson_object_put(s->json);
    s->json = fjson_tokener_parse(s->text);
}

static bool call(enum event event, MQ_Connection *connection, session *s)
{
    MQ_Address address = {event == MAILFROM ? s->envelope : s->recipient};
    MQ_Message message = {.json = s->json};
    void *function = functions[event];
    switch (event) {
    case AUTHENTICATE:
        return ((with_login)function)(&context, connection, "user", 4, "secret", 6);
    case MAILFROM:
    case RCPTTO:
        return ((with_address)function)(&context, connection, &address);
    case DATA:
        return ((with_bytes)function)(&context, connection, "text\r\n", 6);
    case MESSAGE:
    case OUT_DATA:
    case OUT_SENT:
        return ((with_message)function)(&context, connection, &message);
    default:
        return ((plain)function)(&context, connection);
    }
}

/* As MailerQ does: what takes control keeps it until it hands back. */
static void call_and_wait(enum event event, MQ_Connection *connection, session *s)
{
    if (!functions[event])
        return;
    connection->paused = true;
    connection->paused = call(event, connection, s) && connection->paused;
    while (connection->paused)
        bench_host_turn();
}

/* ---- commands ---- */

/* Outgoing events have a connection of their own. */
static void run_session(session *s, int counted)
{
    MQ_Connection in = {0}, out = {0};
    session_renew(s);
    for (int event = 0; event < EVENTS; event++) {
        MQ_Connection *connection = event >= OUT_DATA ? &out : &in;
        if (event != counted) {
            call_and_wait((enum event)event, connection, s);
        } else {
            CALLGRIND_TOGGLE_COLLECT;
            call_and_wait((enum event)event, connection, s);
            CALLGRIND_TOGGLE_COLLECT;
        }
    }
}

static void count_events(int warm, int count, session *sessions, int kinds)
{
    for (int i = 0; i < warm; i++)
        run_session(&sessions[i % kinds], -1);
    for (int event = 0; event < EVENTS; event++) {
        CALLGRIND_ZERO_STATS;
        for (int i = 0; i < count; i++)
            run_session(&sessions[i % kinds], event);
        CALLGRIND_DUMP_STATS_AT(names[event]);
    }
}

static void time_message(int warm, int count, session *s, char **keys)
{
    MQ_Connection connection = {0};
    char *before[16] = {NULL};
    struct fjson_object *value;
    for (int k = 0; keys[k] && k < 16; k++)
        if (fjson_object_object_get_ex(s->json, keys[k], &value))
            before[k] = strdup(fjson_object_to_json_string(value));
    for (int event = CONNECT; event < MESSAGE; event++)
        call_and_wait((enum event)event, &connection, s);
    CALLGRIND_ZERO_STATS;
    for (int i = 0; i < warm + count; i++) {
        double begun = bench_host_now();
        if (i >= warm)
            CALLGRIND_TOGGLE_COLLECT;
        call_and_wait(MESSAGE, &connection, s);
        if (i >= warm)
            CALLGRIND_TOGGLE_COLLECT;
        double ended = bench_host_now();
        for (int k = 0; keys[k] && k < 16; k++) {
            fjson_object_object_del(s->json, keys[k]);
            if (before[k])
                fjson_object_object_add(s->json, keys[k], fjson_tokener_parse(before[k]));
        }
        if (i >= warm)
            printf("message %.0f\n", (ended - begun) * 1e9);
    }
    CALLGRIND_DUMP_STATS_AT("smtp_in_message");
    call_and_wait(CLOSE, &connection, s);
}

static double in_use(void)
{
    struct mallinfo2 info = mallinfo2();
    return (double)(info.uordblks + info.hblkhd);
}

static void measure_memory(int count, session *s)
{
    MQ_Connection *connections = calloc((size_t)count, sizeof *connections);
    if (!connections)
        fail("no memory", NULL);
    for (int event = CONNECT; event < DATA; event++) {
        double before = in_use();
        for (int i = 0; i < count; i++)
            call_and_wait((enum event)event, &connections[i], s);
        printf("%s %.1f\n", names[event], (in_use() - before) / count);
    }
    for (int i = 0; i < count; i++)
        call_and_wait(CLOSE, &connections[i], s);
    free(connections);
}

static void measure_parked(int count, session *s)
{
    MQ_Connection *connections = calloc((size_t)count, sizeof *connections);
    int waiting = 0;
    if (!connections)
        fail("no memory", NULL);
    for (int i = 0; i < count; i++)
        call_and_wait(CONNECT, &connections[i], s);
    double before = in_use(), begun = bench_host_cpu();
    for (int i = 0; i < count; i++) {
        connections[i].paused = true;
        connections[i].paused = call(MAILFROM, &connections[i], s) && connections[i].paused;
        waiting += connections[i].paused;
    }
    printf("parked %d\nbytes %.1f\npark %.6f\n", waiting, (in_use() - before) / count,
           bench_host_cpu() - begun);
    double first = 0;
    for (int left = waiting; left;) {
        double began = bench_host_turn();
        left = 0;
        for (int i = 0; i < count; i++)
            left += connections[i].paused;
        if (!first && left < waiting)
            first = began;
    }
    printf("resume %.6f\n", bench_host_cpu() - first);
    for (int i = 0; i < count; i++)
        call_and_wait(CLOSE, &connections[i], s);
    free(connections);
}

static int number(const char *text)
{
    int value = atoi(text);
    if (value < 0)
        fail("not a count:", text);
    return value;
}

int main(int count, char **arguments)
{
    session sessions[SESSIONS];
    int kinds = 0;
    const char *command = count > 4 ? arguments[1] : "";
    bool warm = strcmp(command, "events") == 0 || strcmp(command, "message") == 0;
    int first = warm ? 5 : 4;
    if (count <= first)
        fail("usage: events|message|memory|parked PLUGIN [WARM] COUNT SESSION...", NULL);
    if (!bench_host_open())
        fail("no socket", NULL);
    load(arguments[2]);
    for (int i = first; i < count && kinds < SESSIONS && (i == first || strcmp(command, "events") == 0); i++)
        sessions[kinds++] = session_read(arguments[i]);
    int times = number(arguments[warm ? 4 : 3]);
    if (strcmp(command, "events") == 0)
        count_events(number(arguments[3]), times, sessions, kinds);
    else if (strcmp(command, "message") == 0)
        time_message(number(arguments[3]), times, &sessions[0], arguments + first + 1);
    else if (strcmp(command, "memory") == 0)
        measure_memory(times, &sessions[0]);
    else if (strcmp(command, "parked") == 0)
        measure_parked(times, &sessions[0]);
    else
        fail("no such command:", command);
    unload();
    return 0;
}
