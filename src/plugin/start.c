/* SPDX-License-Identifier: MIT */

/* What happens before the first event: settings, the host's functions, the policy. */

#include "api/metrics.h"
#include "api/report.h"
#include "api/state.h"
#include "base/threads.h"
#include "mime/module.h"
#include "json/tree.h"
#include "plugin/arguments.h"
#include "plugin/clients.h"
#include "plugin/keep.h"
#include "plugin/plugin.h"
#include "plugin/reload.h"
#include "base/cidr.h"
#include "base/error.h"
#include "policy/load.h"
#include <dlfcn.h>
#include <limits.h>
#include <luajit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Before the log of the host is known to work, and for what must be seen wherever it goes. */
static void say(const char *format, const char *text)
{
    fprintf(stderr, "mailerq-lua: ");
    fprintf(stderr, format, text);
    fputc('\n', stderr);
}

/* A host that exports Lua functions of its own would get our calls, with another Lua's structures. */
static bool lua_is_ours(void)
{
    void *const functions[] = {(void *)lua_newstate, (void *)lua_resume, (void *)lua_pcall,
                               (void *)luaL_openlibs};
    Dl_info jit, other;
    if (!dladdr((void *)luaJIT_setmode, &jit))
        return false;
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
        if (!dladdr(functions[i], &other) || other.dli_fbase != jit.dli_fbase)
            return false;
    return true;
}

/* C modules of the distribution expect the lua_* functions in the process. */
static void promote_luajit(const mqlua_settings *settings)
{
    Dl_info info;
    if (settings->limits.allow & MQLUA_ALLOW_CMODULES && dladdr((void *)luaJIT_setmode, &info))
        dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL);
}

static int first_known(int a, int b)
{
    return a >= 0 ? a : b;
}

/* What the settings leave open comes from the header that this was built against. */
static void complete_settings(mqlua_plugin *plugin)
{
    const mqlua_probe *probe = &mqlua_probe_found;
    mqlua_settings *settings = plugin->settings;
    settings->host.api_version = first_known(settings->host.api_version, probe->api_version);
    settings->host.address_api = first_known(settings->host.address_api, probe->recipient_is_address);
    settings->host.local_api = first_known(settings->host.local_api, probe->local_on_address);
    settings->host.json_library = first_known(settings->host.json_library, probe->json_is_fastjson);
    /* MQ_log came with 5.6.5, libfastjson with 5.0. */
    if (settings->host.json_library < 0 && plugin->symbols.log)
        settings->host.json_library = 1;
    plugin->read_flag = first_known(settings->host.read_flag, probe->read_flag);
    plugin->write_flag = first_known(settings->host.write_flag, probe->write_flag);
}

static void find_json_library(mqlua_plugin *plugin)
{
    int library = plugin->settings->host.json_library;
    char *error = NULL;
    if (library < 0) {
        mqlua_log(&plugin->symbols, MQLUA_LOG_WARN,
                  "mailerq-lua: which JSON library this host uses is not known, so "
                  "policies cannot read message.json: say json_library under \"host\" in the settings");
        return;
    }
    plugin->proto.tree = mqlua_tree_load(library ? MQLUA_TREE_FASTJSON : MQLUA_TREE_JSONC, &error);
    if (!plugin->proto.tree)
        mqlua_log(&plugin->symbols, MQLUA_LOG_WARN, "mailerq-lua: policies cannot read message.json: %s",
                  error ? error : "not enough memory");
    free(error);
}

static bool load_settings(mqlua_plugin *plugin)
{
    char *error = NULL;
    plugin->settings = mqlua_settings_load(&error);
    if (!plugin->settings) {
        say("%s", error ? error : "not enough memory");
        free(error);
        return false;
    }
    complete_settings(plugin);
    promote_luajit(plugin->settings);
    return true;
}

static void warn(void *plugin, const char *text)
{
    mqlua_log(&((mqlua_plugin *)plugin)->symbols, MQLUA_LOG_CRIT, "mailerq-lua: %s", text);
}

static bool make_shared(mqlua_plugin *plugin)
{
    char *error = NULL;
    mqlua_env *proto = &plugin->proto;
    proto->push_arguments = mqlua_arguments_push;
    proto->symbols = &plugin->symbols;
    proto->settings = plugin->settings;
    proto->metrics = mqlua_metrics_new(mqlua_metrics_warn, &plugin->symbols, NULL);
    proto->threads = mqlua_threads_new();
    proto->mime = mqlua_mime_module_new();
    plugin->store = mqlua_store_new(plugin->settings->state_dir, warn, plugin);
    proto->dicts = plugin->store
                       ? mqlua_dicts_new(plugin->settings->shared_memory, mqlua_store_fill, plugin->store)
                       : NULL;
    plugin->clients = mqlua_clients_new();
    if (plugin->settings->host.proxies)
        proto->proxies = mqlua_cidr_parse(plugin->settings->host.proxies, &error);
    bool good = proto->metrics && proto->threads && proto->mime && proto->dicts && plugin->clients &&
                (!plugin->settings->host.proxies || proto->proxies);
    if (good)
        mqlua_metrics_set_collector(proto->metrics, mqlua_dicts_collect, proto->dicts);
    if (good)
        mqlua_figures_init(&plugin->figures, proto->metrics);
    else
        say("%s", error ? error : "not enough memory");
    free(error);
    return good;
}

/* True: the plugin can work with this host. */
static bool find_host(mqlua_plugin *plugin)
{
    char missing[600];
    bool complete = mqlua_symbols_load(&plugin->symbols, missing, sizeof missing);
    if (plugin->symbols.legacy) {
        say("%s",
            "this is MailerQ 2.1 or 3.0 (it has MQ_SmtpSend), which is not supported: nothing will be done");
        return false;
    }
    if (!complete) {
        say("this host lacks %s: nothing will be done", missing);
        return false;
    }
    if (!lua_is_ours()) {
        say("%s", "the host exports Lua functions of its own: nothing will be done. Take the build with "
                  "LuaJIT inside "
                  "(cmake -DMQLUA_LUAJIT_STATIC=/path/to/libluajit.a)");
        return false;
    }
    return true;
}

/* ---- the policy ---- */

static void say_broken(mqlua_plugin *plugin, const char *error)
{
    mqlua_log(&plugin->symbols, MQLUA_LOG_CRIT,
              "mailerq-lua: the policy %s does not load:", plugin->settings->policy);
    mqlua_log_lines(&plugin->symbols, MQLUA_LOG_CRIT, error ? error : "not enough memory");
}

/* What the plugin begins with; NULL where it waits, or has nothing. */
typedef struct choice {
    mqlua_bundle *checked;  /* the policy's files, as they should run; NULL: they do not load */
    mqlua_bundle *restored; /* the last-known-good one, in place of them */
    bool refused;           /* the files were rolled back before */
    bool wait;              /* nothing may run before the host has become somebody else */
    char *error, *none;     /* why the files do not load, and why there is no last-known-good one */
} choice;

/* The files, else the last policy that was good, else the files all the same where they only fail at times:
 * that is better than no mail. */
static mqlua_bundle *choose(mqlua_plugin *plugin, choice *c)
{
    mqlua_bundle_unref(plugin->seen);
    c->checked = mqlua_keep_check(plugin, NULL, &plugin->seen, &c->error);
    c->refused = c->checked && mqlua_refused_has(plugin->refused, mqlua_bundle_hash(c->checked));
    if (c->checked && !c->refused)
        return c->checked;
    c->restored = mqlua_keep_restore(plugin, &c->wait, &c->none);
    return c->restored || c->wait ? c->restored : c->checked;
}

/* In this order: what is wrong, what runs, and what that means. */
static void say_choice(mqlua_plugin *plugin, const choice *c)
{
    const mqlua_symbols *symbols = &plugin->symbols;
    const char *policy = plugin->settings->policy, *none = c->none ? c->none : "not enough memory";
    char path[4096] = "";
    if (c->refused)
        mqlua_log(symbols, MQLUA_LOG_CRIT,
                  "mailerq-lua: the policy %s, %.8s was rolled back before the restart, "
                  "because its handlers failed on mail; change it",
                  policy, mqlua_bundle_hash(c->checked));
    else if (!c->checked)
        say_broken(plugin, c->error);
    if (plugin->bundle)
        mqlua_log(symbols, MQLUA_LOG_INFO, "mailerq-lua %s: policy %s, generation 1, %.8s", MQLUA_VERSION,
                  policy, mqlua_bundle_hash(plugin->bundle));
    if (c->restored && mqlua_keep_path(plugin, path, sizeof path))
        mqlua_log(symbols, MQLUA_LOG_CRIT,
                  "mailerq-lua: RUNNING THE LAST-KNOWN-GOOD POLICY %.8s from %s, not the files in %s",
                  mqlua_bundle_hash(c->restored), path, policy);
    else if (c->refused)
        mqlua_log(symbols, MQLUA_LOG_CRIT,
                  "mailerq-lua: there is no last-known-good policy either: %s. RUNNING THE POLICY THAT WAS "
                  "ROLLED BACK",
                  none);
    else if (!c->checked)
        mqlua_log(symbols, MQLUA_LOG_CRIT, "mailerq-lua: there is no last-known-good policy either: %s. %s",
                  none,
                  plugin->refuse ? "The plugin refuses to start"
                                 : "starting without policy, as the settings say: mail passes unjudged");
}

static void load_policy(mqlua_plugin *plugin)
{
    choice c = {0};
    mqlua_bundle *chosen = choose(plugin, &c);
    plugin->bundle = chosen ? mqlua_bundle_ref(chosen) : NULL;
    plugin->restored = c.restored != NULL;
    plugin->deferred = c.wait;
    plugin->refuse = !plugin->bundle && !c.wait && !plugin->settings->start_without_policy;
    if (!c.wait) /* else it is said when something runs */
        say_choice(plugin, &c);
    mqlua_bundle_unref(c.checked);
    mqlua_bundle_unref(c.restored);
    free(c.error);
    free(c.none);
    atomic_store(&plugin->generation, 1);
    mqlua_figures_set(plugin->figures.generation, 1);
}

static int compile_only(mqlua_plugin *plugin, mqlua_bundle *bundle, char **error)
{
    mqlua_vm *vm = mqlua_vm_new(&plugin->settings->limits);
    bool good = vm && mqlua_load_compile(vm, bundle, error);
    mqlua_vm_free(vm);
    return good ? 0 : -1;
}

/* As root, before the host becomes somebody else, a policy that others may write is compiled and not run. */
static bool must_defer(mqlua_plugin *plugin)
{
    char *error = NULL;
    if (geteuid() != 0)
        return false;
    mqlua_bundle *bundle = mqlua_bundle_open(plugin->settings->policy, &error);
    int compiled = bundle ? compile_only(plugin, bundle, &error) : 0; /* now it has what it requires */
    bool defer = bundle && (!mqlua_bundle_note_all(bundle) || !mqlua_bundle_owned_by(bundle, 0));
    if (defer && compiled && !plugin->settings->start_without_policy && !mqlua_keep_exists(plugin)) {
        say_broken(plugin, error);
        plugin->refuse = true;
    }
    mqlua_bundle_unref(bundle);
    free(error);
    return defer;
}

mqlua_plugin *mqlua_plugin_new(void)
{
    mqlua_plugin *plugin = calloc(1, sizeof *plugin);
    if (!plugin)
        return NULL;
    pthread_mutex_init(&plugin->lock, NULL);
    plugin->passive = !find_host(plugin);
    if (!load_settings(plugin)) {
        plugin->passive = plugin->refuse = true;
        return plugin;
    }
    if (plugin->passive)
        return plugin;
    if (!make_shared(plugin)) {
        plugin->passive = plugin->refuse = true;
        return plugin;
    }
    find_json_library(plugin);
    plugin->refused = mqlua_keep_refused(plugin);
    plugin->deferred = must_defer(plugin);
    if (!plugin->deferred)
        load_policy(plugin);
    return plugin;
}

int mqlua_plugin_version(const mqlua_plugin *plugin)
{
    return plugin->refuse ? INT_MIN : plugin->settings->host.api_version;
}

/* ---- initialize and cleanup ---- */

static void call_process(mqlua_plugin *plugin, mqlua_event event)
{
    char *error = NULL;
    if (plugin->process && !mqlua_state_call(plugin->process, event, 0, &error)) {
        char what[100];
        snprintf(what, sizeof what, "%s failed", mqlua_event_names[event]);
        mqlua_report(&plugin->process->env, what, error ? error : "not enough memory");
    }
    free(error);
}

static void run_initialize(mqlua_plugin *plugin)
{
    char *error = NULL;
    if (!plugin->bundle || plugin->process)
        return;
    plugin->process = mqlua_state_new(&plugin->proto, plugin->bundle, 1, NULL, MQLUA_LOADING, &error);
    if (!plugin->process)
        mqlua_log_lines(&plugin->symbols, MQLUA_LOG_CRIT, error ? error : "not enough memory");
    free(error);
    call_process(plugin, MQLUA_INITIALIZE);
}

void mqlua_plugin_initialize(mqlua_plugin *plugin)
{
    if (!plugin->passive && !plugin->deferred)
        run_initialize(plugin);
}

void mqlua_plugin_first_context(mqlua_plugin *plugin)
{
    pthread_mutex_lock(&plugin->lock);
    plugin->in_context = true;
    mqlua_store_open(plugin->store, plugin->proto.dicts);
    if (plugin->deferred) {
        plugin->deferred = false;
        load_policy(plugin);
        run_initialize(plugin);
    }
    pthread_mutex_unlock(&plugin->lock);
}

/* Seconds that each part has, even when those before it took all of the time. */
static const double LEAST = 0.2;

bool mqlua_plugin_end_part(mqlua_plugin *plugin, const char *what, void (*end)(void *ud), void *ud,
                           double until)
{
    double least = mqlua_loop_now() + LEAST;
    if (mqlua_threads_do("mqlua-end", end, ud, until > least ? until : least))
        return true;
    atomic_store(&plugin->left_behind, true);
    mqlua_log(&plugin->symbols, MQLUA_LOG_CRIT,
              "mailerq-lua: the end does not wait for %s any longer: it takes too long", what);
    return false;
}

static void stop_store(void *store)
{
    mqlua_store_stop(store);
}

static void end_store(mqlua_plugin *plugin, double until)
{
    mqlua_plugin_end_part(plugin, "the saving of persistent dictionaries", stop_store, plugin->store, until);
}

bool mqlua_plugin_cleanup(mqlua_plugin *plugin, double until)
{
    mqlua_reload_stop(plugin, until - MQLUA_END_SECONDS / 2);
    call_process(plugin, MQLUA_CLEANUP);
    mqlua_state_free(plugin->process);
    plugin->process = NULL;
    end_store(plugin, until);
    pthread_mutex_lock(&plugin->lock);
    plugin->cleaned = true;
    bool last = !plugin->worker_users;
    pthread_mutex_unlock(&plugin->lock);
    return last;
}

static void free_threads(void *threads)
{
    mqlua_threads_free(threads);
}

/* False: some of it goes on. */
static bool end_all(mqlua_plugin *plugin, double until)
{
    mqlua_reload_stop(plugin, until);
    mqlua_state_free(plugin->process);
    if (!atomic_load(&plugin->left_behind))
        end_store(plugin, until); /* workers may have written since mq_cleanup */
    mqlua_plugin_end_part(plugin, "the work of helper threads", free_threads, plugin->proto.threads, until);
    return !atomic_load(&plugin->left_behind);
}

void mqlua_plugin_free(mqlua_plugin *plugin, double until)
{
    if (!plugin)
        return;
    if (!end_all(plugin, until)) {
        atomic_store(&plugin->symbols.log_ended, true);
        return;
    }
    mqlua_store_free(plugin->store);
    mqlua_dicts_free(plugin->proto.dicts);
    mqlua_bundle_unref(plugin->bundle);
    mqlua_bundle_unref(plugin->seen);
    mqlua_refused_free(plugin->refused);
    mqlua_mime_module_free(plugin->proto.mime);
    mqlua_metrics_free(plugin->proto.metrics);
    mqlua_clients_free(plugin->clients);
    mqlua_cidr_free((mqlua_cidr *)plugin->proto.proxies);
    mqlua_tree_free(plugin->proto.tree);
    mqlua_settings_free(plugin->settings);
    pthread_mutex_destroy(&plugin->lock);
    free(plugin);
}
