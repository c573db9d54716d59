/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

/* Tells the plugin, through its environment, where its files are. */
static bool set_path(const char *name, const char *path)
{
    if (!path)
        return true;
    char *full = realpath(path, NULL);
    if (!full) {
        fprintf(stderr, "mqlua: cannot find %s\n", path);
        return false;
    }
    bool ok = setenv(name, full, 1) == 0;
    free(full);
    return ok;
}

int cli_run(int count, char **arguments)
{
    struct cli_options options;
    int status = CLI_MISUSE;
    if (cli_options_parse(&options, count, arguments)) {
        if (options.help) {
            cli_options_print(stdout);
            status = CLI_FINE;
        } else if (set_path("MAILERQ_LUA_POLICY", options.policy) &&
                   set_path("MAILERQ_LUA_SETTINGS", options.settings) &&
                   cli_variant_switch(&options.host.knobs, count, arguments)) {
            status = host_run(&options.host);
        }
    }
    cli_options_free(&options);
    return status;
}
