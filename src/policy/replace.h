/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdio.h>

/* Opens the regular file at path for reading; a pipe or a device, which could keep its reader waiting for
 * ever, is none. NULL with errno (EINVAL: not a regular file). Any thread. */
FILE *mqlua_open_regular(const char *path);

/* Replaces the file at path so that there is always a complete one, the old or the new, whenever the process
 * or the machine stops: written beside (mode 0600), synced, renamed, folder synced. write puts the content
 * into fd; false with *error (malloc'ed). False with *error when any of it failed; the old file is then still
 * there. Two processes do not write into each other's: one fails. Any thread. */
bool mqlua_replace_file(const char *path, bool (*write)(int fd, const void *ud, char **error), const void *ud,
                        char **error);
