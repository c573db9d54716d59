/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cidr.h"
#include "base/error.h"
#include "base/number.h"
#include "cli/cli.h"

enum { WORKERS_MOST = 256 };

enum option_id {
    OPTION_POLICY = 1,
    OPTION_SETTINGS,
    OPTION_LISTEN,
    OPTION_LISTEN_TLS,
    OPTION_WORKERS,
    OPTION_PLUGIN,
    OPTION_INBOX,
    OPTION_LOCAL,
    OPTION_OUTBOX,
    OPTION_SMARTHOST,
    OPTION_RESULTS,
    OPTION_OUT_CONNECTIONS,
    OPTION_OUT_TIMEOUT,
    OPTION_KNOB,
    OPTION_TLS_CERT,
    OPTION_TLS_KEY,
    OPTION_MAX_SIZE,
    OPTION_MAX_RECIPIENTS,
    OPTION_IDLE_TIMEOUT,
    OPTION_GRACE,
    OPTION_HOSTNAME,
    OPTION_AUTH,
    OPTION_PROXY_FROM,
    OPTION_USER,
    OPTION_HELP,
};

struct option_text {
    const char *name;
    enum option_id id;
    const char *value;
    const char *help;
};

static const struct option_text option_texts[] = {
    {"policy", OPTION_POLICY, "FILE", "the policy (MAILERQ_LUA_POLICY for the plugin)"},
    {"settings", OPTION_SETTINGS, "FILE", "the settings (MAILERQ_LUA_SETTINGS for the plugin)"},
    {"listen", OPTION_LISTEN, "ADDR:PORT", "take SMTP there; port 0 is a free one; repeatable"},
    {"listen-tls", OPTION_LISTEN_TLS, "ADDR:PORT", "the same with TLS from the start"},
    {"workers", OPTION_WORKERS, "N", "threads (1)"},
    {"plugin", OPTION_PLUGIN, "FILE|DIR",
     "plugins (mailerq-lua.so beside this program); an empty folder: none"},
    {"inbox", OPTION_INBOX, "FILE", "where accepted messages go, one JSON line each (standard output)"},
    {"local", OPTION_LOCAL, "FILE", "where those marked local go (the inbox)"},
    {"outbox", OPTION_OUTBOX, "FILE", "JSON lines to deliver"},
    {"smarthost", OPTION_SMARTHOST, "HOST:PORT", "where to deliver them"},
    {"results", OPTION_RESULTS, "FILE", "where the results of deliveries go"},
    {"out-connections", OPTION_OUT_CONNECTIONS, "N", "connections to smarthosts for each worker (2)"},
    {"out-timeout", OPTION_OUT_TIMEOUT, "SECONDS", "what a smarthost may take for a reply (60)"},
    {"knob", OPTION_KNOB, "NAME=VALUE", "choose a reading of the documentation, see below; repeatable"},
    {"tls-cert", OPTION_TLS_CERT, "FILE", "certificate chain, PEM (self-signed, made at start)"},
    {"tls-key", OPTION_TLS_KEY, "FILE", "its private key, PEM"},
    {"max-size", OPTION_MAX_SIZE, "BYTES", "largest message (104857600)"},
    {"max-recipients", OPTION_MAX_RECIPIENTS, "N", "recipients of one message (1000)"},
    {"idle-timeout", OPTION_IDLE_TIMEOUT, "SECONDS", "silence before a client is sent away (300)"},
    {"grace", OPTION_GRACE, "SECONDS", "for pending events at the end (2); 5 more, and it ends anyway"},
    {"hostname", OPTION_HOSTNAME, "NAME", "name of this server"},
    {"auth", OPTION_AUTH, "USER:PASSWORD", "an account of this server, for the knob own-auth"},
    {"proxy-from", OPTION_PROXY_FROM, "LIST",
     "addresses or ranges that send the PROXY protocol, with commas"},
    {"user", OPTION_USER, "NAME", "user to become when the ports are open"},
    {"help", OPTION_HELP, NULL, "this text"},
};

enum { OPTION_COUNT = sizeof option_texts / sizeof *option_texts };

void cli_options_print(FILE *file)
{
    fprintf(file, "usage: mqlua run [OPTION]...\n\n");
    for (int i = 0; i < OPTION_COUNT; i++)
        fprintf(file, "  --%-15s %-14s %s\n", option_texts[i].name,
                option_texts[i].value ? option_texts[i].value : "", option_texts[i].help);
    fprintf(file, "\nknobs (the first value is the default):\n");
    host_knobs_print(file);
    fprintf(file, "\nof the knobs that say what the program exports, these go together:\n");
    cli_variants_print(file);
}

__attribute__((format(printf, 1, 2))) static bool complain(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fprintf(stderr, "mqlua run: ");
    vfprintf(stderr, format, list);
    fprintf(stderr, "\n");
    va_end(list);
    return false;
}

/* Makes room for one more element of an array. */
static void *grow(void *array, size_t count, size_t size)
{
    void *grown = realloc(array, (count + 1) * size);
    if (!grown) {
        complain("no memory");
        exit(CLI_TROUBLE);
    }
    return grown;
}

static bool add_listen(struct host_options *host, const char *text, const char *name, bool tls)
{
    char address[256];
    const char *colon = strrchr(text, ':');
    size_t size = colon ? (size_t)(colon - text) : 0;
    if (!colon || !colon[1] || size >= sizeof address)
        return complain("--%s '%s': expected ADDR:PORT, such as 127.0.0.1:2525 or [::1]:0", name, text);
    memcpy(address, text, size);
    address[size] = '\0';
    char *node = address;
    if (size > 1 && node[0] == '[' && node[size - 1] == ']') {
        node[size - 1] = '\0';
        node++;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found;
    int error = getaddrinfo(*node ? node : NULL, colon + 1, &hints, &found);
    if (error)
        return complain("--%s '%s': %s", name, text, gai_strerror(error));
    host->listens = grow(host->listens, host->listen_count, sizeof *host->listens);
    struct host_listen *listen = &host->listens[host->listen_count++];
    memset(listen, 0, sizeof *listen);
    memcpy(&listen->address, found->ai_addr, found->ai_addrlen);
    listen->size = found->ai_addrlen;
    listen->tls = tls;
    freeaddrinfo(found);
    return true;
}

static bool parse_whole(const char *name, const char *text, unsigned long long least, unsigned long long most,
                        unsigned long long *number)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || value < least || value > most)
        return complain("--%s '%s': expected a whole number from %llu to %llu", name, text, least, most);
    *number = value;
    return true;
}

static bool parse_seconds(const char *name, const char *text, double *seconds)
{
    char *end;
    double value = mqlua_number_parse(text, &end);
    if (end == text || *end || !(value >= 0) || value > 1e6)
        return complain("--%s '%s': expected seconds", name, text);
    *seconds = value;
    return true;
}

static bool add_proxies(struct host_options *host, char *list)
{
    char *rest = NULL, *error = NULL;
    if (!host->proxies && !(host->proxies = mqlua_cidr_new(NULL, NULL)))
        return complain("not enough memory");
    for (char *item = strtok_r(list, ",", &rest); item; item = strtok_r(NULL, ",", &rest)) {
        if (mqlua_cidr_add(host->proxies, item, strlen(item), &error))
            continue;
        complain("--proxy-from: %s", error ? error : "not enough memory");
        free(error);
        return false;
    }
    mqlua_cidr_finish(host->proxies);
    return true;
}

static bool set_auth(struct host_options *host, char *text)
{
    char *colon = strchr(text, ':');
    if (!colon || colon == text)
        return complain("--auth: expected USER:PASSWORD");
    *colon = '\0';
    host->auth_user = text;
    host->auth_password = colon + 1;
    return true;
}

static bool set_knob(struct host_options *host, const char *text)
{
    char error[1024];
    return host_knobs_set(&host->knobs, text, error, sizeof error) || complain("%s", error);
}

static bool take_option(struct cli_options *options, enum option_id id, char *value)
{
    struct host_options *host = &options->host;
    unsigned long long number = 0;
    bool ok = true;
    switch (id) {
    case OPTION_POLICY:
        options->policy = value;
        break;
    case OPTION_SETTINGS:
        options->settings = value;
        break;
    case OPTION_LISTEN:
        return add_listen(host, value, "listen", false);
    case OPTION_LISTEN_TLS:
        return add_listen(host, value, "listen-tls", true);
    case OPTION_WORKERS:
        ok = parse_whole("workers", value, 1, WORKERS_MOST, &number);
        host->workers = (int)number;
        break;
    case OPTION_PLUGIN:
        host->plugins = grow(host->plugins, host->plugin_count, sizeof *host->plugins);
        host->plugins[host->plugin_count++] = value;
        break;
    case OPTION_INBOX:
        host->inbox = value;
        break;
    case OPTION_LOCAL:
        host->local = value;
        break;
    case OPTION_OUTBOX:
        host->outbox = value;
        break;
    case OPTION_SMARTHOST:
        host->smarthost = value;
        break;
    case OPTION_RESULTS:
        host->results = value;
        break;
    case OPTION_OUT_CONNECTIONS:
        ok = parse_whole("out-connections", value, 1, 1000, &number);
        host->out_connections = (int)number;
        break;
    case OPTION_OUT_TIMEOUT:
        return parse_seconds("out-timeout", value, &host->out_timeout);
    case OPTION_KNOB:
        return set_knob(host, value);
    case OPTION_TLS_CERT:
        host->tls_certificate = value;
        break;
    case OPTION_TLS_KEY:
        host->tls_key = value;
        break;
    case OPTION_MAX_SIZE:
        ok = parse_whole("max-size", value, 1, INT_MAX, &number);
        host->max_size = number;
        break;
    case OPTION_MAX_RECIPIENTS:
        ok = parse_whole("max-recipients", value, 1, 1000000, &number);
        host->max_recipients = number;
        break;
    case OPTION_IDLE_TIMEOUT:
        return parse_seconds("idle-timeout", value, &host->idle_timeout);
    case OPTION_GRACE:
        return parse_seconds("grace", value, &host->grace);
    case OPTION_HOSTNAME:
        host->hostname = value;
        break;
    case OPTION_AUTH:
        return set_auth(host, value);
    case OPTION_PROXY_FROM:
        return add_proxies(host, value);
    case OPTION_USER:
        host->user = value;
        break;
    case OPTION_HELP:
        options->help = true;
        break;
    }
    return ok;
}

static bool check_together(const struct cli_options *options)
{
    const struct host_options *host = &options->host;
    if (options->policy && access(options->policy, R_OK) < 0)
        return complain("--policy %s: %s", options->policy, mqlua_error_text(errno));
    if (options->settings && access(options->settings, R_OK) < 0)
        return complain("--settings %s: %s", options->settings, mqlua_error_text(errno));
    if (!host->listen_count && !host->outbox)
        return complain("nothing to do: expected --listen, --listen-tls or --outbox");
    if (host->outbox && (!host->smarthost || !host->results))
        return complain("--outbox needs --smarthost and --results");
    if (!host->outbox && (host->smarthost || host->results))
        return complain("--smarthost and --results need --outbox");
    if (!host->tls_certificate != !host->tls_key)
        return complain("--tls-cert and --tls-key belong together");
    return true;
}

/* The plugin beside this program, unless --plugin said otherwise. */
static bool find_plugin(struct cli_options *options)
{
    struct host_options *host = &options->host;
    if (host->plugin_count)
        return true;
    char *folder = cli_folder();
    bool ok = folder && asprintf(&options->default_plugin, "%s/mailerq-lua.so", folder) >= 0;
    free(folder);
    if (!ok) {
        options->default_plugin = NULL;
        return complain("no memory");
    }
    if (access(options->default_plugin, R_OK) < 0)
        return complain("the plugin %s is missing; name another with --plugin", options->default_plugin);
    host->plugins = grow(NULL, 0, sizeof *host->plugins);
    host->plugins[host->plugin_count++] = options->default_plugin;
    return true;
}

static void set_defaults(struct cli_options *options)
{
    struct host_options *host = &options->host;
    memset(options, 0, sizeof *options);
    host_knobs_init(&host->knobs);
    host->workers = 1;
    host->max_size = 100ull << 20;
    host->max_recipients = 1000;
    host->idle_timeout = 300;
    host->grace = 2;
    if (gethostname(options->hostname, sizeof options->hostname - 1) < 0 || !*options->hostname)
        strcpy(options->hostname, "localhost");
    host->hostname = options->hostname;
}

bool cli_options_parse(struct cli_options *options, int count, char **arguments)
{
    struct option longs[OPTION_COUNT + 1] = {{0}};
    char **own = calloc((size_t)count + 1, sizeof *own);
    set_defaults(options);
    for (int i = 0; i < OPTION_COUNT; i++)
        longs[i] =
            (struct option){option_texts[i].name, option_texts[i].value ? required_argument : no_argument,
                            NULL, option_texts[i].id};
    bool ok = own != NULL;
    if (own)
        memcpy(own, arguments, (size_t)count * sizeof *own); /* getopt changes the order */
    optind = 1;
    opterr = 0;
    for (int id; ok && (id = getopt_long(count, own, ":", longs, NULL)) != -1;) {
        if (id == '?')
            ok = complain("unknown option '%s' (mqlua run --help lists them)", own[optind - 1]);
        else if (id == ':')
            ok = complain("%s needs a value", own[optind - 1]);
        else {
            char *value = optarg ? strdup(optarg) : NULL;
            if (value) {
                options->owned = grow(options->owned, options->owned_count, sizeof *options->owned);
                options->owned[options->owned_count++] = value;
            }
            ok = take_option(options, (enum option_id)id, value);
        }
    }
    if (ok && optind < count)
        ok = complain("unexpected argument '%s'", own[optind]);
    free(own);
    return ok && (options->help || (check_together(options) && find_plugin(options)));
}

void cli_options_free(struct cli_options *options)
{
    for (size_t i = 0; i < options->owned_count; i++)
        free(options->owned[i]);
    free(options->owned);
    free(options->host.listens);
    mqlua_cidr_free(options->host.proxies);
    free(options->host.plugins);
    free(options->default_plugin);
}
