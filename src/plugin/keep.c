/* SPDX-License-Identifier: MIT */

#include "plugin/keep.h"
#include "api/metrics.h"
#include "api/check.h"
#include "base/dicts.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LONGEST_NAME = 200 };

static void warn(void *plugin, mqlua_lint_kind kind, const char *text)
{
    if (kind == MQLUA_LINT_MISTAKE)
        mqlua_log(&((mqlua_plugin *)plugin)->symbols, MQLUA_LOG_WARN, "mailerq-lua: %s", text);
}

/* For a state that only checks a policy: metrics and dictionaries of its own, so that nothing of a policy
 * that fails stays behind, and none touches what the process has. False: no memory. */
static bool begin_scratch(mqlua_plugin *plugin, mqlua_env *proto)
{
    *proto = plugin->proto;
    proto->metrics = mqlua_metrics_new(mqlua_metrics_warn, &plugin->symbols, plugin->proto.metrics);
    proto->dicts = mqlua_dicts_new(plugin->settings->shared_memory, NULL, NULL);
    return proto->metrics && proto->dicts;
}

static void end_scratch(mqlua_env *proto)
{
    mqlua_metrics_free(proto->metrics);
    mqlua_dicts_free(proto->dicts);
}

mqlua_bundle *mqlua_keep_check(mqlua_plugin *plugin, const atomic_bool *stop, mqlua_bundle **seen,
                               char **error)
{
    mqlua_env proto;
    mqlua_bundle *bundle = NULL;
    if (begin_scratch(plugin, &proto)) {
        proto.stop = stop;
        bundle = mqlua_check_policy(&proto, plugin->settings->policy, warn, plugin, seen, error);
    }
    end_scratch(&proto);
    return bundle;
}

/* One file for each policy, so that trying another one on the same machine does not replace it:
 * last-known-good+etc+mailerq-lua+policy.lua.kept, which is no Lua file when it lies in the policy's folder.
 */
bool mqlua_keep_path(const mqlua_plugin *plugin, char *path, size_t size)
{
    const mqlua_settings *settings = plugin->settings;
    const char *policy = settings->policy;
    size_t length = strlen(policy);
    if (length > LONGEST_NAME)
        policy += length - LONGEST_NAME;
    int folder = snprintf(path, size, "%s/", settings->state_dir);
    int used = snprintf(path, size, "%s/last-known-good%s.kept", settings->state_dir, policy);
    if (used >= (int)size)
        return false;
    for (char *c = path + folder; *c; c++)
        if (*c == '/')
            *c = '+';
    return true;
}

bool mqlua_keep_exists(const mqlua_plugin *plugin)
{
    char path[4096];
    return mqlua_keep_path(plugin, path, sizeof path) && access(path, F_OK) == 0;
}

mqlua_refused *mqlua_keep_refused(const mqlua_plugin *plugin)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/refused", plugin->settings->state_dir) >= (int)sizeof path)
        return NULL;
    return mqlua_refused_load(path);
}

/* It ran once; whether it runs now (another version, another limit) must be seen before traffic meets it. */
static bool still_runs(mqlua_plugin *plugin, mqlua_bundle *bundle, char **error)
{
    mqlua_env proto;
    mqlua_state *state = begin_scratch(plugin, &proto)
                             ? mqlua_state_new(&proto, bundle, 0, NULL, MQLUA_CHECKING, error)
                             : NULL;
    mqlua_state_free(state);
    end_scratch(&proto);
    return state != NULL;
}

mqlua_bundle *mqlua_keep_restore(mqlua_plugin *plugin, bool *wait, char **error)
{
    char path[4096];
    *error = NULL;
    mqlua_bundle *bundle =
        mqlua_keep_path(plugin, path, sizeof path) ? mqlua_bundle_restore(path, error) : NULL;
    *wait = bundle && !plugin->in_context && geteuid() == 0 && !mqlua_bundle_owned_by(bundle, 0);
    if (!bundle || (!*wait && still_runs(plugin, bundle, error)))
        return bundle;
    mqlua_bundle_unref(bundle);
    return NULL;
}

bool mqlua_keep_store(mqlua_plugin *plugin, mqlua_bundle *bundle)
{
    char path[4096], *error = NULL;
    if (mqlua_keep_path(plugin, path, sizeof path) && mqlua_bundle_keep(bundle, path, &error))
        return true;
    if (!plugin->keep_warned)
        mqlua_log(&plugin->symbols, MQLUA_LOG_WARN,
                  "mailerq-lua: the last-known-good policy cannot be kept: %s",
                  error ? error : "the path is too long");
    plugin->keep_warned = true;
    free(error);
    return false;
}
