/* SPDX-License-Identifier: MIT */

/* mqlua check POLICY: loads a policy as a start or a reload would, and says what is wrong with it. */

#include "cli/cli.h"

#include "api/metrics.h"
#include "api/state.h"
#include "api/threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Handlers that let mail pass when they fail: nothing says what an error shall come to. */
static void list_fail_open(const mqlua_registry *registry)
{
    for (int event = MQLUA_IN_CONNECT; event < MQLUA_EVENTS; event++) {
        if (event == MQLUA_IN_AUTHENTICATE || event == MQLUA_IN_CLOSE || event == MQLUA_OUT_SENT)
            continue;
        const mqlua_handlers *handlers = &registry->events[event];
        for (int i = 0; i < handlers->count; i++)
            if (handlers->list[i].on_error == LUA_NOREF && registry->on_error[event] == LUA_NOREF)
                printf("note: handler '%s' of %s fails open: after an error the next one goes on (see on_error)\n",
                       handlers->list[i].name, mqlua_event_names[event]);
    }
}

static int report(const mqlua_env *proto, const char *policy)
{
    char *error = NULL;
    mqlua_bundle *bundle = mqlua_state_check(proto, policy, NULL, NULL, &error);
    mqlua_state *state = bundle ? mqlua_state_new(proto, bundle, 0, NULL, MQLUA_CHECKING, &error) : NULL;
    if (!state) {
        fprintf(stderr, "%s\n", error ? error : "not enough memory");
        free(error);
        mqlua_bundle_unref(bundle);
        return CLI_TROUBLE;
    }
    list_fail_open(state->env.registry);
    printf("%s: fine (%.8s)\n", policy, mqlua_bundle_hash(bundle));
    mqlua_state_free(state);
    mqlua_bundle_unref(bundle);
    free(error);
    return CLI_FINE;
}

static int check(const char *policy)
{
    char *error = NULL;
    mqlua_settings *settings = mqlua_settings_load(&error);
    if (!settings) {
        fprintf(stderr, "%s\n", error ? error : "not enough memory");
        free(error);
        return CLI_TROUBLE;
    }
    mqlua_env proto = {.settings = settings};
    proto.metrics = mqlua_metrics_new(NULL, NULL);
    proto.threads = mqlua_threads_new();
    int status = CLI_TROUBLE;
    if (proto.metrics && proto.threads)
        status = report(&proto, policy);
    mqlua_threads_free(proto.threads);
    mqlua_metrics_free(proto.metrics);
    mqlua_settings_free(settings);
    return status;
}

int cli_check(int count, char **arguments)
{
    const char *policy = NULL;
    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--settings") == 0 && i + 1 < count)
            setenv("MAILERQ_LUA_SETTINGS", arguments[++i], 1);
        else if (!policy && arguments[i][0] != '-')
            policy = arguments[i];
        else
            policy = NULL, i = count;
    }
    if (!policy) {
        fprintf(stderr, "usage: mqlua check [--settings FILE] POLICY\n");
        return CLI_MISUSE;
    }
    return check(policy);
}
