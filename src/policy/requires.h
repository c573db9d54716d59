/* SPDX-License-Identifier: MIT */
#pragma once

/* Finds what a Lua text requires by a literal name: require "a", require("a"), require [[a]], and
 * pcall(require, "a"), wherever it stands; not in comments and texts. Names with escapes are not seen. */

#include <stdbool.h>
#include <stddef.h>

typedef struct mqlua_requires {
    const char *at, *end;
} mqlua_requires;

/* The next name (borrowed from the text, not ended by a NUL). False: there are no more. Never fails. */
bool mqlua_requires_next(mqlua_requires *requires, const char **name, size_t *size);
