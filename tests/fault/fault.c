/* SPDX-License-Identifier: MIT */

/*
 * Every request for memory fails once, while the plugin is loaded, serves sessions, and ends. Then: no crash
 * (the process is still there), no leak (the sanitizer looks at the end), every pause is handed back once,
 * and a message is as it was or as it should be, never between. Afterwards sessions go as if nothing had
 * happened.
 *
 *   fault FOLDER [STRIDE] [load|first|later|end|reload c|lua N]
 *
 * FOLDER holds policy.lua and its files. Of the requests of Lua, only every STRIDE-th fails (1: all). The
 * rest of the line asks for one of them alone.
 */

#include "host.h"
#include "plugin/build.h"
#include "plugin/keep.h"
#include <libfastjson/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static enum fault_kind kind;
static long *number; /* which request fails; the parent process sees it */

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

/* Calls an exported function that may take control, and waits for the hand-back. */
#define CALL(connection, call)                                                                               \
    do {                                                                                                     \
        fault_enter();                                                                                       \
        (connection)->paused = true;                                                                         \
        (connection)->hand = HOST_NONE;                                                                      \
        (connection)->paused = call;                                                                         \
        fault_leave();                                                                                       \
    } while (0)

#define EVENT(connection, call)                                                                              \
    do {                                                                                                     \
        CALL(connection, call);                                                                              \
        if (!host_wait(connection))                                                                          \
            fail("not handed back: " #call);                                                                 \
        if ((connection)->hand == HOST_RETRY)                                                                \
            CALL(connection, call);                                                                          \
        if (!host_wait(connection))                                                                          \
            fail("not handed back, again: " #call);                                                          \
    } while (0)

/* ---- the plugin ---- */

static void start(void)
{
    fault_enter();
    mq_version();
    mq_initialize();
    mq_context_initialize(host_context());
    fault_leave();
}

static void stop(void)
{
    fault_enter();
    mq_context_cleanup(host_context());
    mq_cleanup();
    fault_leave();
}

/* ---- messages ---- */

static const char original[] =
    "{\"envelope\":\"from@example.org\",\"recipient\":\"%s@example.com\",\"mime\":\"Subject: "
    "x\\r\\n\\r\\ntext\\r\\n\","
    "\"pool\":\"p\",\"extra\":{\"known\":1,\"list\":[\"a\"]},\"data\":{\"hold\":%s}}";

static MQ_Message make_message(const char *localpart, bool hold)
{
    char text[600];
    snprintf(text, sizeof text, original, localpart, hold ? "true" : "false");
    return (MQ_Message){.json = fjson_tokener_parse(text)};
}

/* What each kind of message becomes when nothing fails; from the first session. */
static struct {
    const char *localpart;
    char *text;
} wanted[8];

static char **wanted_text(const char *localpart)
{
    size_t i = 0;
    while (wanted[i].localpart && strcmp(wanted[i].localpart, localpart) != 0)
        i++;
    wanted[i].localpart = localpart;
    return &wanted[i].text;
}

/* Without memory for the reason, another one stands in for it. */
static bool same_but_reason(const char *expected, const char *after)
{
    static const char reason[] = "\"reason\":\"";
    const char *a = strstr(expected, reason), *b = strstr(after, reason);
    if (!a || !b || a - expected != b - after || memcmp(expected, after, (size_t)(a - expected)) != 0)
        return false;
    return strcmp(strstr(a, "\","), strstr(b, "\",")) == 0;
}

/* It is what it should be, or, when something failed, what it was. */
static void check_message(const char *localpart, const char *before, MQ_Message *message)
{
    char **expected = wanted_text(localpart), *after = host_json_text(message->json);
    char *second = strstr(after, "\"generation\":2");
    if (second) /* of a reload; the rest is the same */
        second[strlen("\"generation\":")] = '1';
    if (!*expected)
        *expected = strdup(after);
    bool right = strcmp(*expected, after) == 0;
    if (fault_hit())
        right = right || strcmp(before, after) == 0 || same_but_reason(*expected, after);
    if (!right) {
        fprintf(stderr, "before: %s\nafter: %s\n", before, after);
        fail("the message is wrong");
    }
    free(after);
}

static void receive_message(MQ_Connection *connection, const char *localpart)
{
    MQ_Message message = make_message(localpart, false);
    char *before = host_json_text(message.json);
    EVENT(connection, mq_smtp_in_message(host_context(), connection, &message));
    check_message(localpart, before, &message);
    free(before);
    fjson_object_put(message.json);
}

static void deliver_message(const char *localpart, bool hold)
{
    MQ_Connection connection;
    MQ_Message message = make_message(localpart, hold);
    char *before = host_json_text(message.json);
    host_connect(&connection);
    CALL(&connection, mq_smtp_out_data(host_context(), &connection, &message));
    if (!hold || !connection.paused) { /* held: until the other side closes */
        if (!host_wait(&connection))
            fail("not handed back: smtp_out_data");
        check_message(localpart, before, &message);
        fault_enter();
        mq_smtp_out_sent(host_context(), &connection, &message);
        fault_leave();
    }
    host_disconnect(&connection);
    free(before);
    fjson_object_put(message.json);
}

/* ---- sessions ---- */

static void sender(MQ_Connection *connection, const char *localpart)
{
    MQ_Address address = {0};
    snprintf(address.email, sizeof address.email, "%s@example.org", localpart);
    EVENT(connection, mq_smtp_in_mailfrom(host_context(), connection, &address));
}

static void recipient(MQ_Connection *connection, const char *localpart)
{
    MQ_Address address = {0};
    snprintf(address.email, sizeof address.email, "%s@example.com", localpart);
    EVENT(connection, mq_smtp_in_rcptto(host_context(), connection, &address));
}

static void close_connection(MQ_Connection *connection)
{
    connection->paused = false;
    fault_enter();
    mq_smtp_in_close(host_context(), connection);
    fault_leave();
    host_disconnect(connection);
}

static void long_session(void)
{
    static const char data[] = "Subject: x\r\n\r\ntext\r\n", login[] = "joe", password[] = "secret";
    static const char *const recipients[] = {"plain", "waits", "local", "again", "only", "tasks"};
    static const char *const messages[] = {"plain", "waits", "fails", "discard", "quarantine"};
    MQ_Connection connection;
    host_connect(&connection);
    EVENT(&connection, mq_smtp_in_connect(host_context(), &connection));
    EVENT(&connection, mq_smtp_in_secure(host_context(), &connection));
    EVENT(&connection, mq_smtp_in_authenticate(host_context(), &connection, login, 3, password, 6));
    if (!connection.authenticated && !fault_hit())
        fail("the login was refused");
    sender(&connection, "plain");
    for (size_t i = 0; i < sizeof recipients / sizeof recipients[0]; i++)
        recipient(&connection, recipients[i]);
    if (connection.sent && !fault_hit())
        fail("a reply was sent");
    EVENT(&connection, mq_smtp_in_data(host_context(), &connection, data, sizeof data - 1));
    bool refused = connection.sent > 0; /* what comes later is discarded */
    for (size_t i = 0; !refused && i < sizeof messages / sizeof messages[0]; i++)
        receive_message(&connection, messages[i]);
    close_connection(&connection);
}

static void refused_session(void)
{
    MQ_Connection connection;
    host_connect(&connection);
    EVENT(&connection, mq_smtp_in_connect(host_context(), &connection));
    sender(&connection, "plain");
    recipient(&connection, "unknown");
    if (connection.sent != 1 && !fault_hit())
        fail("no reply was sent");
    if (connection.sent)
        sender(&connection, "plain");
    close_connection(&connection);
}

/* The client leaves while the plugin has control. */
static void broken_session(void)
{
    MQ_Connection connection;
    MQ_Address address = {.email = "waits@example.org"};
    host_connect(&connection);
    EVENT(&connection, mq_smtp_in_connect(host_context(), &connection));
    CALL(&connection, mq_smtp_in_mailfrom(host_context(), &connection, &address));
    host_turn();
    close_connection(&connection);
}

static void sessions(void)
{
    long_session();
    refused_session();
    broken_session();
    deliver_message("out", false);
    deliver_message("held", true);
    for (int i = 0; i < 3; i++)
        host_turn();
}

/* ---- where it fails ----
 *
 * Each lets one request fail, and says whether there was such a request. */

static bool in_load(void)
{
    fault_set(kind, *number);
    start();
    bool failed = fault_hit();
    if (!failed) {
        fault_set(kind, -1);
        sessions();
    } else {
        MQ_Connection connection; /* there may be no policy: whatever is answered, nothing is lost */
        host_connect(&connection);
        EVENT(&connection, mq_smtp_in_connect(host_context(), &connection));
        close_connection(&connection);
    }
    stop();
    return failed;
}

static bool then_as_ever(void)
{
    bool failed = fault_hit();
    fault_set(kind, -1);
    sessions();
    return failed;
}

static bool in_first(void)
{
    start();
    fault_set(kind, *number);
    sessions();
    bool failed = then_as_ever();
    stop();
    return failed;
}

static bool in_end(void)
{
    start();
    sessions();
    fault_set(kind, *number);
    stop();
    return fault_hit();
}

/* The plugin stays: what it keeps for the next session is there already. */
static bool in_later(void)
{
    fault_set(kind, *number);
    sessions();
    return then_as_ever();
}

/* As the thread that reloads does it, on this one. */
static void reload(void)
{
    mqlua_worker *worker = MQ_contextData(host_context());
    atomic_bool stop = false;
    char *error = NULL, *why = NULL;
    if (!worker)
        return;
    mqlua_plugin *plugin = worker->plugin;
    uint64_t before = plugin->generation;
    fault_enter();
    mqlua_bundle *seen = NULL, *bundle = mqlua_keep_check(plugin, NULL, &seen, &error);
    plugin->silent = true; /* the question would wait for this very thread */
    bool good = bundle && mqlua_build_all(plugin, bundle, before + 1, &stop, &why) >= 0;
    if (bundle)
        mqlua_keep_store(plugin, bundle);
    fault_leave();
    if (plugin->generation != before + good || (!good && !fault_hit()))
        fail(error ? error : why ? why : "the reload failed");
    mqlua_bundle_unref(bundle);
    mqlua_bundle_unref(seen);
    free(error);
    free(why);
}

/* A connection moves to the new generation, with its vars, or stays with the old one. */
static bool in_reload(void)
{
    MQ_Connection connection;
    start();
    host_connect(&connection);
    EVENT(&connection, mq_smtp_in_connect(host_context(), &connection));
    sender(&connection, "plain");
    fault_set(kind, *number);
    reload();
    sender(&connection, "plain");
    recipient(&connection, "plain");
    close_connection(&connection);
    bool failed = then_as_ever();
    stop();
    return failed;
}

static const struct phase {
    const char *name;
    bool (*run)(void);
    bool stays;
} phases[] = {{"load", in_load, false},
              {"first", in_first, false},
              {"later", in_later, true},
              {"end", in_end, false},
              {"reload", in_reload, false}};

enum { PHASES = sizeof phases / sizeof phases[0] };

static const char *const kinds[] = {"c", "lua"};

static void run_phase(const struct phase *phase, long stride, long only)
{
    start();
    sessions(); /* what messages become */
    if (!phase->stays)
        stop();
    *number = only < 0 ? 0 : only;
    while (phase->run() && only < 0)
        *number += stride;
    if (phase->stays) {
        fault_set(kind, -1);
        stop();
    }
}

/* In a process of its own, so that the end of one is seen. */
static bool phase_passes(const struct phase *phase, long stride, long only)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        run_phase(phase, stride, only);
        exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0)
        return false;
    bool passed = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    printf("%s %s %s: %ld requests (status %x)\n", passed ? "ok" : "FAILED", phase->name, kinds[kind],
           *number, (unsigned)status);
    return passed;
}

static bool prepare(const char *folder)
{
    static char state[] = P_tmpdir "/mqlua-fault-XXXXXX";
    char settings[100];
    number = mmap(NULL, sizeof *number, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (number == MAP_FAILED || !mkdtemp(state))
        return false;
    snprintf(settings, sizeof settings, "%s/settings.json", folder);
    char policy[200];
    snprintf(policy, sizeof policy, "%s/policy.lua", folder);
    setenv("MAILERQ_LUA_SETTINGS", settings, 1);
    setenv("MAILERQ_LUA_POLICY", policy, 1);
    setenv("MAILERQ_LUA_STATE_DIR", state, 1);
    return true;
}

int main(int argc, char **argv)
{
    bool passed = true;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc < 2 || !prepare(argv[1]))
        return 2;
    long stride = argc > 2 ? atol(argv[2]) : 97;
    for (int i = 0; i < PHASES; i++) {
        for (int k = FAULT_C; k <= FAULT_LUA; k++) {
            kind = (enum fault_kind)k;
            if (argc < 6 || (!strcmp(argv[3], phases[i].name) && !strcmp(argv[4], kinds[k])))
                passed &=
                    phase_passes(&phases[i], kind == FAULT_LUA ? stride : 1, argc < 6 ? -1 : atol(argv[5]));
        }
    }
    return passed ? 0 : 1;
}
