/* SPDX-License-Identifier: MIT */
#include "host/knobs.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "mailerq.h"

enum { VALUES_MAX = 5 };

struct knob {
    const char *name;
    size_t offset;
    const char *values[VALUES_MAX + 1]; /* in the order of the enum; the first is the default */
    const char *help;
};

#define KNOB(name, member, help, ...)                                                                        \
    {                                                                                                        \
        name, offsetof(struct host_knobs, member), {__VA_ARGS__}, help                                       \
    }

static const struct knob knobs_table[] = {
    KNOB("api", api, "version of the plugin API", "5.6.5", "5.0", "4.1", "4.0", "3.0"),
    KNOB("spelling", spelling, "names of the exported functions", "camel", "pascal", "both"),
    KNOB("auth-by-symbol", auth_by_symbol, "a plugin with mq_smtp_in_authenticate makes AUTH mandatory",
         "off", "on"),
    KNOB("init", init, "when mq_initialize is called", "each", "after-all"),
    KNOB("fork", fork, "when the process goes to a child", "after-init", "off", "before-init"),
    KNOB("ctx-init", ctx_init_main, "thread of mq_context_*", "workers", "main"),
    KNOB("shutdown", shutdown_cleanup_first, "order at the end", "contexts-first", "cleanup-first"),
    KNOB("close-on-exit", close_on_exit, "mq_smtp_in_close for connections open at the end", "no", "yes"),
    KNOB("sync-continue", sync_continue, "hand-back inside the callback", "abort", "allow"),
    KNOB("continue", continue_mode, "whether a hand-back goes on at once", "alternate", "inline", "deferred"),
    KNOB("disconnect", disconnect, "the peer leaves during a pause", "close-during-pause",
         "close-after-handback", "no-close"),
    KNOB("reply-after-send", reply_after_send,
         "the host's own reply after MQ_send (unaware: none, and what was refused goes on)", "always",
         "suppress", "close", "unaware"),
    KNOB("secure-event-on-implicit", secure_on_implicit, "mq_smtp_in_secure on the TLS port", "no", "yes"),
    KNOB("banner", banner_before, "banner before or after mq_smtp_in_connect", "after", "before"),
    KNOB("proxy", proxy_before, "mq_smtp_in_connect before or after the PROXY header", "after", "before"),
    KNOB("data-unstuffed", data_unstuffed, "mq_smtp_in_data without dot-stuffing", "off", "on"),
    KNOB("recipient", recipient_string, "what MQ_envelope and MQ_recipient return", "address", "string"),
    KNOB("local", local_message, "what MQ_local and MQ_setLocal take", "address", "message"),
    KNOB("own-auth", own_auth, "check --auth before or after the plugins", "none", "before", "after"),
    KNOB("auth-outside", auth_outside_honour, "MQ_setAuthenticated outside authenticate", "ignore", "honour"),
    KNOB("password", password_null, "password at authenticate", "given", "null"),
    KNOB("json", json_minimal, "properties of an incoming message", "full", "minimal"),
    KNOB("message-after-reply", message_after_reply, "mq_smtp_in_message after the final reply", "off", "on"),
    KNOB("json-export", json_hidden, "the JSON library is visible to plugins", "yes", "no"),
    KNOB("data-in-loop", data_in_loop_ok, "data getters in timers and watchers", "poison", "ok"),
    KNOB("flag-values", flag_values_libev, "values of MQ_READ and MQ_WRITE", "odd", "libev"),
    KNOB("decoys", decoys, "export lua_newstate, ev_run and others that abort", "off", "on"),
    KNOB("brackets", brackets, "MQ_email with angle brackets", "off", "on"),
    KNOB("extract", extract_off, "turn x-mq-* headers into JSON", "on", "off"),
    KNOB("timers", timers, "timers fire up to 50 ms late, exactly, or cannot be made", "late", "exact",
         "fail"),
    KNOB("watchers", watchers, "watchers wake up without cause now and then, never, or cannot be made",
         "spurious", "exact", "fail"),
    KNOB("blocking", blocking_off, "report callbacks over 50 ms, abort over 500 ms", "on", "off"),
    KNOB("locale", locale_environment, "the process keeps \"C\", or takes the locale of LC_ALL and its like",
         "C", "environment"),
    KNOB("strict", strict_off, "quarantine, guard pages and sentinels", "on", "off"),
};

enum { KNOB_COUNT = sizeof knobs_table / sizeof *knobs_table };

void host_knobs_init(struct host_knobs *knobs)
{
    memset(knobs, 0, sizeof *knobs);
    knobs->data_chunk = 1000;
    knobs->api_version = MQ_API_VERSION;
}

/* A whole number from minimum up; false otherwise. */
static bool parse_number(const char *text, int minimum, int *number)
{
    char *end;
    long value = strtol(text, &end, 0);
    if (end == text || *end || value < minimum || value > INT_MAX)
        return false;
    *number = (int)value;
    return true;
}

/* data takes a number, so it is not in the table. */
static bool set_data(struct host_knobs *knobs, const char *value, char *error, size_t size)
{
    if (strcmp(value, "whole") == 0)
        knobs->data = HOST_DATA_WHOLE;
    else if (strcmp(value, "at-command") == 0)
        knobs->data = HOST_DATA_AT_COMMAND;
    else if (strncmp(value, "chunks:", 7) == 0 && parse_number(value + 7, 1, &knobs->data_chunk))
        knobs->data = HOST_DATA_CHUNKS;
    else {
        snprintf(error, size, "knob data: unknown value '%s' (expected chunks:BYTES, whole or at-command)",
                 value);
        return false;
    }
    return true;
}

static bool set_value(struct host_knobs *knobs, const struct knob *knob, const char *value, char *error,
                      size_t size)
{
    for (int i = 0; knob->values[i]; i++) {
        if (strcmp(knob->values[i], value) == 0) {
            *(int *)((char *)knobs + knob->offset) = i;
            return true;
        }
    }
    int used = snprintf(error, size, "knob %s: unknown value '%s' (expected", knob->name, value);
    for (int i = 0; knob->values[i] && used > 0 && (size_t)used < size; i++)
        used += snprintf(error + used, size - (size_t)used, "%s %s", i ? "," : "", knob->values[i]);
    if (used > 0 && (size_t)used < size)
        snprintf(error + used, size - (size_t)used, ")");
    return false;
}

static void name_all(const char *name, char *error, size_t size)
{
    int used = snprintf(error, size, "unknown knob '%s' (there are", name);
    for (int i = 0; i < KNOB_COUNT && used > 0 && (size_t)used < size; i++)
        used += snprintf(error + used, size - (size_t)used, " %s,", knobs_table[i].name);
    if (used > 0 && (size_t)used < size)
        snprintf(error + used, size - (size_t)used, " data, api-version)");
}

bool host_knobs_set(struct host_knobs *knobs, const char *assignment, char *error, size_t size)
{
    const char *equals = strchr(assignment, '=');
    char name[64];
    if (!equals || equals == assignment || (size_t)(equals - assignment) >= sizeof name) {
        snprintf(error, size, "knob '%s' is not of the form NAME=VALUE", assignment);
        return false;
    }
    memcpy(name, assignment, (size_t)(equals - assignment));
    name[equals - assignment] = '\0';
    if (strcmp(name, "data") == 0)
        return set_data(knobs, equals + 1, error, size);
    if (strcmp(name, "api-version") == 0) {
        if (parse_number(equals + 1, INT_MIN, &knobs->api_version))
            return true;
        snprintf(error, size, "knob api-version: '%s' is not a number", equals + 1);
        return false;
    }
    for (int i = 0; i < KNOB_COUNT; i++)
        if (strcmp(knobs_table[i].name, name) == 0)
            return set_value(knobs, &knobs_table[i], equals + 1, error, size);
    name_all(name, error, size);
    return false;
}

const char *host_knobs_value(const struct host_knobs *knobs, const char *name)
{
    for (int i = 0; i < KNOB_COUNT; i++)
        if (strcmp(knobs_table[i].name, name) == 0)
            return knobs_table[i].values[*(const int *)((const char *)knobs + knobs_table[i].offset)];
    return NULL;
}

void host_knobs_print(FILE *file)
{
    for (int i = 0; i < KNOB_COUNT; i++) {
        fprintf(file, "  %-26s", knobs_table[i].name);
        for (int v = 0; knobs_table[i].values[v]; v++)
            fprintf(file, "%s%s", v ? "|" : "", knobs_table[i].values[v]);
        fprintf(file, "\n%28s%s\n", "", knobs_table[i].help);
    }
    fprintf(file,
            "  %-26schunks:1000|chunks:BYTES|whole|at-command\n%28swhen and how mq_smtp_in_data is called\n",
            "data", "");
    fprintf(file, "  %-26s0x%x\n%28sthe number that mq_version has to return\n", "api-version",
            MQ_API_VERSION, "");
}
