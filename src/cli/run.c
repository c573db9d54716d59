/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

/* Tells the plugin, through its environment, where its files are. */
static bool set_path(const char *name, const char *path)
{
    if (!path)
        return true;
    char *here = getcwd(NULL, 0), *full = NULL;
    bool ok = here && access(path, F_OK) == 0;
    if (!ok)
        fprintf(stderr, "mqlua: cannot find %s\n", path);
    /* Links stay: they may be turned while the host runs. */
    else if (path[0] == '/')
        ok = setenv(name, path, 1) == 0;
    else
        ok = asprintf(&full, "%s/%s", here, path) >= 0 && setenv(name, full, 1) == 0;
    free(full);
    free(here);
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
