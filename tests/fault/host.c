/* SPDX-License-Identifier: MIT */

#include "host.h"
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <libfastjson/json.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- failures ---- */

static _Thread_local bool inside;
static enum fault_kind failing;
static long countdown = -1;
static bool hit;

void fault_set(enum fault_kind kind, long n)
{
    failing = kind;
    countdown = n;
    hit = false;
}

bool fault_hit(void)
{
    return hit;
}

void fault_enter(void)
{
    inside = true;
}

void fault_leave(void)
{
    inside = false;
}

/* libfastjson does not look at what these get: it leaks, or breaks an object for good (see
 * json/tree_fastjson.c). */
static bool has_no_way_out(const void *caller)
{
    static const char *const names[] = {"fjson_object_object_add_ex", "fjson_object_new_array",
                                        "array_list_new"};
    Dl_info info;
    if (!dladdr(caller, &info) || !info.dli_sname)
        return false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(info.dli_sname, names[i]) == 0)
            return true;
    return false;
}

static bool fails(enum fault_kind kind, const void *caller)
{
    if (!inside || kind != failing || countdown < 0)
        return false;
    if (countdown > 0) {
        countdown--;
        return false;
    }
    if (has_no_way_out(caller))
        return false;
    countdown = -1;
    hit = true;
    if (getenv("FAULT_LOG")) {
        void *frames[30];
        inside = false;
        backtrace_symbols_fd(frames, backtrace(frames, 30), 2);
        inside = true;
    }
    return true;
}

/* The linker puts these in place of the functions that they are named after (--wrap). */
#define WRAP(type, name, parameters, arguments, failure)                                                     \
    type __real_##name parameters;                                                                           \
    type __wrap_##name parameters;                                                                           \
    type __wrap_##name parameters                                                                            \
    {                                                                                                        \
        return fails(FAULT_C, __builtin_return_address(0)) ? failure : __real_##name arguments;              \
    }

WRAP(void *, malloc, (size_t size), (size), NULL)
WRAP(void *, calloc, (size_t count, size_t size), (count, size), NULL)
WRAP(void *, realloc, (void *old, size_t size), (old, size), NULL)
WRAP(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size), NULL)
WRAP(char *, strdup, (const char *text), (text), NULL)
WRAP(char *, strndup, (const char *text, size_t size), (text, size), NULL)
WRAP(int, vasprintf, (char **out, const char *format, va_list args), (out, format, args), -1)
WRAP(FILE *, fopen, (const char *path, const char *mode), (path, mode), NULL)
WRAP(FILE *, open_memstream, (char **out, size_t *size), (out, size), NULL)
WRAP(int, eventfd, (unsigned value, int flags), (value, flags), -1)
WRAP(int, pthread_create, (pthread_t * thread, const pthread_attr_t *attr, void *(*run)(void *), void *ud),
     (thread, attr, run, ud), EAGAIN)

int __wrap_asprintf(char **out, const char *format, ...);
int __wrap_asprintf(char **out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = __wrap_vasprintf(out, format, args);
    va_end(args);
    return size;
}

/* What vm.c calls instead of realloc. LuaJIT relies on blocks that shrink. */
void *fault_lua_realloc(void *old, size_t size);
void *fault_lua_realloc(void *old, size_t size)
{
    return fails(FAULT_LUA, NULL) ? NULL : __real_realloc(old, size);
}

/* The host's own work never fails. */
#define HOST                                                                                                 \
    bool plugin = inside;                                                                                    \
    inside = false;
#define END inside = plugin;

/* ---- the loop ---- */

struct MQ_Context {
    void *data;
};

struct MQ_IOWatcher {
    int fd;
    void (*ready)(MQ_IOWatcher *, int, int, void *);
    void *data;
    MQ_IOWatcher *next;
};

struct MQ_Timer {
    double due;
    void (*fire)(void *);
    void *data;
    MQ_Timer *next;
};

static MQ_Context context;
static MQ_IOWatcher *watchers;
static MQ_Timer *timers;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

MQ_Context *host_context(void)
{
    return &context;
}

void *MQ_contextData(MQ_Context *c)
{
    return c->data;
}

void MQ_setContextData(MQ_Context *c, void *data)
{
    c->data = data;
}

MQ_IOWatcher *MQ_ioWatch(MQ_Context *c, int fd, int events, void (*ready)(MQ_IOWatcher *, int, int, void *),
                         void *data)
{
    if (fails(FAULT_C, NULL))
        return NULL;
    MQ_IOWatcher *watcher = __real_malloc(sizeof *watcher);
    *watcher = (MQ_IOWatcher){fd, ready, data, watchers};
    return watchers = watcher;
}

void MQ_ioUnwatch(MQ_IOWatcher *watcher)
{
    MQ_IOWatcher **link = &watchers;
    while (*link != watcher)
        link = &(*link)->next;
    *link = watcher->next;
    free(watcher);
}

MQ_Timer *MQ_startTimer(MQ_Context *c, float seconds, void (*fire)(void *), void *data)
{
    if (fails(FAULT_C, NULL))
        return NULL;
    MQ_Timer *timer = __real_malloc(sizeof *timer);
    *timer = (MQ_Timer){now() + (double)seconds, fire, data, timers};
    return timers = timer;
}

void MQ_stopTimer(MQ_Timer *timer)
{
    MQ_Timer **link = &timers;
    while (*link != timer)
        link = &(*link)->next;
    *link = timer->next;
    free(timer);
}

static bool fire_timer(void)
{
    double at = now();
    for (MQ_Timer *timer = timers; timer; timer = timer->next) {
        if (timer->due > at)
            continue;
        MQ_Timer fired = *timer;
        MQ_stopTimer(timer);
        fault_enter();
        fired.fire(fired.data);
        fault_leave();
        return true;
    }
    return false;
}

static int patience(void)
{
    double seconds = 0.05;
    for (MQ_Timer *timer = timers; timer; timer = timer->next)
        if (timer->due - now() < seconds)
            seconds = timer->due - now();
    return seconds > 0 ? (int)(seconds * 1000) + 1 : 0;
}

void host_turn(void)
{
    struct pollfd fds[8];
    MQ_IOWatcher *of[8];
    nfds_t count = 0;
    for (MQ_IOWatcher *watcher = watchers; watcher && count < 8; watcher = watcher->next) {
        fds[count] = (struct pollfd){.fd = watcher->fd, .events = POLLIN};
        of[count++] = watcher;
    }
    if (poll(fds, count, patience()) > 0) {
        for (nfds_t i = 0; i < count; i++) {
            if (!fds[i].revents)
                continue;
            fault_enter();
            of[i]->ready(of[i], fds[i].fd, MQ_READ, of[i]->data);
            fault_leave();
            break; /* it may have ended the others */
        }
    }
    fire_timer();
}

bool host_wait(MQ_Connection *connection)
{
    double end = now() + 5;
    while (connection->paused && now() < end)
        host_turn();
    return !connection->paused;
}

/* ---- connections ---- */

void host_connect(MQ_Connection *connection)
{
    *connection = (MQ_Connection){.fd = open("/dev/null", O_RDONLY | O_CLOEXEC)};
}

void host_disconnect(MQ_Connection *connection)
{
    close(connection->fd);
    connection->fd = -1;
}

static void hand_back(MQ_Connection *connection, enum host_hand hand)
{
    if (!connection->paused) {
        fprintf(stderr, "handed back without a pause\n");
        abort();
    }
    connection->paused = false;
    connection->hand = hand;
}

void MQ_continue(MQ_Connection *connection)
{
    hand_back(connection, HOST_CONTINUE);
}

void MQ_complete(MQ_Connection *connection)
{
    hand_back(connection, HOST_COMPLETE);
}

void MQ_retry(MQ_Connection *connection)
{
    hand_back(connection, HOST_RETRY);
}

size_t MQ_send(MQ_Connection *connection, const void *data, size_t size)
{
    connection->sent++;
    return size;
}

int MQ_fileDescriptor(MQ_Connection *connection)
{
    return connection->fd;
}

bool MQ_authenticated(MQ_Connection *connection)
{
    return connection->authenticated;
}

void MQ_setAuthenticated(MQ_Connection *connection, bool authenticated)
{
    connection->authenticated = authenticated;
}

bool MQ_secure(MQ_Connection *connection)
{
    return connection->secure;
}

void *MQ_connectionData(MQ_Connection *connection)
{
    return connection->data;
}

void MQ_setConnectionData(MQ_Connection *connection, void *data)
{
    connection->data = data;
}

/* ---- messages and addresses ---- */

struct fjson_object *MQ_json(MQ_Message *message)
{
    return message->json;
}

static void set_text(MQ_Message *message, const char *key, const char *text, size_t size)
{
    HOST fjson_object_object_add(message->json, key, fjson_object_new_string_len(text, (int)size));
    END
}

void MQ_setEnvelope(MQ_Message *message, const char *text, size_t size)
{
    set_text(message, "envelope", text, size);
}

void MQ_setRecipient(MQ_Message *message, const char *text, size_t size)
{
    set_text(message, "recipient", text, size);
}

const char *MQ_mime(MQ_Message *message)
{
    struct fjson_object *mime;
    return fjson_object_object_get_ex(message->json, "mime", &mime) ? fjson_object_get_string(mime) : NULL;
}

void MQ_setMime(MQ_Message *message, const char *text, size_t size)
{
    set_text(message, "mime", text, size);
}

MQ_Address *MQ_recipient(MQ_Message *message)
{
    return NULL;
}

MQ_Address *MQ_envelope(MQ_Message *message)
{
    return NULL;
}

const char *MQ_email(MQ_Address *address)
{
    return address->email;
}

bool MQ_local(MQ_Address *address)
{
    return address->local;
}

void MQ_setLocal(MQ_Address *address, bool local)
{
    address->local = local;
}

void MQ_log(int priority, const char *text)
{
    if (getenv("FAULT_LOG"))
        fprintf(stderr, "    log %d: %s\n", priority, text);
}

/* ---- comparing ---- */

typedef struct member {
    const char *key;
    struct fjson_object *value;
} member;

static int by_key(const void *a, const void *b)
{
    return strcmp(((const member *)a)->key, ((const member *)b)->key);
}

static void write_json(FILE *out, struct fjson_object *json);

static void write_object(FILE *out, struct fjson_object *json)
{
    member members[40];
    size_t count = 0;
    struct fjson_object_iterator at = fjson_object_iter_begin(json), end = fjson_object_iter_end(json);
    for (; count < 40 && !fjson_object_iter_equal(&at, &end); fjson_object_iter_next(&at))
        members[count++] = (member){fjson_object_iter_peek_name(&at), fjson_object_iter_peek_value(&at)};
    qsort(members, count, sizeof *members, by_key);
    fputc('{', out);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "%s\"%s\":", i ? "," : "", members[i].key);
        write_json(out, members[i].value);
    }
    fputc('}', out);
}

static void write_array(FILE *out, struct fjson_object *json)
{
    fputc('[', out);
    for (int i = 0; i < fjson_object_array_length(json); i++) {
        fputs(i ? "," : "", out);
        write_json(out, fjson_object_array_get_idx(json, i));
    }
    fputc(']', out);
}

static void write_json(FILE *out, struct fjson_object *json)
{
    if (fjson_object_is_type(json, fjson_type_object))
        write_object(out, json);
    else if (fjson_object_is_type(json, fjson_type_array))
        write_array(out, json);
    else
        fputs(json ? fjson_object_to_json_string(json) : "null", out);
}

char *host_json_text(struct fjson_object *json)
{
    char *text = NULL;
    size_t size;
    FILE *out = __real_open_memstream(&text, &size);
    write_json(out, json);
    fclose(out);
    return text;
}
