/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static const struct cli_command commands[] = {
    {"run", cli_run, "run the stand-in MailerQ with a policy (mqlua run --help)"},
#ifndef CLI_RUN_ONLY
    {"check", cli_check, "load a policy as a reload would, and say what is wrong (mqlua check POLICY)"},
#endif
    {"version", cli_version, "print the version"},
};

enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static void print_usage(FILE *file)
{
    fprintf(file, "usage: mqlua COMMAND [OPTION]...\n\ncommands:\n");
    for (int i = 0; i < COMMAND_COUNT; i++)
        fprintf(file, "  %-10s %s\n", commands[i].name, commands[i].usage);
}

int cli_version(int count, char **arguments)
{
    printf("mqlua %s, plugin API 0x%X\n", MQLUA_VERSION, (unsigned int)MQ_API_VERSION);
    return CLI_FINE;
}

int main(int count, char **arguments)
{
    if (count < 2) {
        print_usage(stderr);
        return CLI_MISUSE;
    }
    if (strcmp(arguments[1], "--help") == 0 || strcmp(arguments[1], "-h") == 0 ||
        strcmp(arguments[1], "help") == 0) {
        print_usage(stdout);
        return CLI_FINE;
    }
    for (int i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(arguments[1], commands[i].name) == 0)
            return commands[i].run(count - 1, arguments + 1);
    fprintf(stderr, "mqlua: unknown command '%s'\n", arguments[1]);
    print_usage(stderr);
    return CLI_MISUSE;
}
