/* SPDX-License-Identifier: MIT */
#pragma once

/* The commands of mqlua. Each gets what follows its name (arguments[0] is the command) and returns the exit
 * status: 0 fine, 1 trouble, 2 wrong use. Main thread. */

#include <stdio.h>

#include "host/host.h"

enum { CLI_FINE = 0, CLI_TROUBLE = 1, CLI_MISUSE = 2 };

struct cli_command {
    const char *name;
    int (*run)(int count, char **arguments);
    const char *usage;
};

int cli_run(int count, char **arguments);
int cli_check(int count, char **arguments);
int cli_version(int count, char **arguments);

/* What the options of run mean. Owns its arrays; strings are borrowed from the command line or owned by it.
 */
struct cli_options {
    struct host_options host;
    const char *policy;
    const char *settings;
    bool help;
    char *default_plugin;
    char **owned; /* copies of the values, which may be changed */
    size_t owned_count;
    char hostname[256];
};

/* Parses the options of run; false after printing what is wrong. Free in both cases. */
bool cli_options_parse(struct cli_options *options, int count, char **arguments);
void cli_options_free(struct cli_options *options);
void cli_options_print(FILE *file);

/* The folder of this program, to be freed; NULL without memory. */
char *cli_folder(void);

/* When the knobs ask for another variant of the program than this one: replaces the process by that one.
 * Returns only when nothing has to be done (true) or it cannot be done (false, printed). */
bool cli_variant_switch(const struct host_knobs *knobs, int count, char **arguments);

/* The combinations of knobs that cli_variant_switch knows, one line each. */
void cli_variants_print(FILE *file);
