/* SPDX-License-Identifier: MIT */

/* mqlua check POLICY: loads a policy as a start or a reload would, and says what is wrong with it. */

#include "cli/cli.h"

#include "api/check.h"
#include "base/dicts.h"
#include "base/metrics.h"
#include "base/threads.h"
#include "mime/module.h"
#include "policy/others.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void tell(void *ud, mqlua_lint_kind kind, const char *text)
{
    int *mistakes = ud;
    if (kind == MQLUA_LINT_NOTE) {
        printf("note: %s\n", text);
        return;
    }
    fprintf(stderr, "%s\n", text);
    ++*mistakes;
}

static void note_other(void *ud, const char *text)
{
    printf("note: %s\n", text);
}

static int report(const mqlua_env *proto, const char *policy)
{
    char *error = NULL;
    int mistakes = 0;
    mqlua_bundle *bundle = mqlua_check_policy(proto, policy, tell, &mistakes, NULL, &error);
    mqlua_vm *vm = bundle ? mqlua_vm_new(&proto->settings->limits) : NULL; /* nothing runs in it */
    if (vm)
        mqlua_others_check(vm, bundle, note_other, NULL);
    if (!vm)
        fprintf(stderr, "%s\n", error ? error : "not enough memory");
    else if (!mistakes)
        printf("%s: fine (%.8s)\n", policy, mqlua_bundle_hash(bundle));
    bool good = vm && !mistakes;
    mqlua_vm_free(vm);
    mqlua_bundle_unref(bundle);
    free(error);
    return good ? CLI_FINE : CLI_TROUBLE;
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
    proto.metrics = mqlua_metrics_new(NULL, NULL, NULL);
    proto.threads = mqlua_threads_new();
    proto.mime = mqlua_mime_module_new();
    proto.dicts = mqlua_dicts_new(settings->shared_memory, NULL, NULL);
    int status = CLI_TROUBLE;
    if (proto.metrics && proto.threads && proto.mime && proto.dicts)
        status = report(&proto, policy);
    mqlua_threads_free(proto.threads);
    mqlua_mime_module_free(proto.mime);
    mqlua_metrics_free(proto.metrics);
    mqlua_dicts_free(proto.dicts);
    mqlua_settings_free(settings);
    return status;
}

static void print_help(FILE *file)
{
    fprintf(file, "usage: mqlua check [--settings FILE] POLICY\n\n"
                  "Loads the policy as a start or a reload of the plugin would, and looks for verdicts that "
                  "handlers make\n"
                  "without returning them or return where they have no meaning. Nothing but the top level of "
                  "the policy\n"
                  "runs. Notes (on stdout) say which handlers let mail pass when they fail, and what else "
                  "deserves a look.\n\n"
                  "  --settings FILE  the settings to load it with (default: $MAILERQ_LUA_SETTINGS, else\n"
                  "                   /etc/mailerq-lua/settings.json)\n\n"
                  "exit status: 0 the policy is fine; 1 it does not load or has a mistake (on stderr, with "
                  "file and line);\n"
                  "             2 wrong use of this command\n");
}

int cli_check(int count, char **arguments)
{
    const char *policy = NULL;
    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--help") == 0 || strcmp(arguments[i], "-h") == 0) {
            print_help(stdout);
            return CLI_FINE;
        }
        if (strcmp(arguments[i], "--settings") == 0 && i + 1 < count) {
            setenv("MAILERQ_LUA_SETTINGS", arguments[++i], 1);
        } else if (!policy && arguments[i][0] != '-') {
            policy = arguments[i];
        } else {
            policy = NULL;
            break;
        }
    }
    if (!policy) {
        print_help(stderr);
        return CLI_MISUSE;
    }
    return check(policy);
}
