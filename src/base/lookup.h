/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Data files of a policy: sets and maps with case-insensitive keys (ASCII), and whole texts. Addresses,
 * domains and names of hosts are known by their canonical forms (base/email.h), however they are spelt.
 *
 * One entry a line; blanks around it, empty lines and lines that begin with # do not count. In a set a line
 * is one key, and " #" begins a comment. In a map it is a key, blanks, and a value that goes to the end of
 * the line. A key that begins with a quoted string and an @ may have blanks in the quotes.
 *
 * A table is built once and never changes: any number of threads may ask it.
 */

#include <stdbool.h>
#include <stddef.h>

typedef struct mqlua_lookup mqlua_lookup;

enum { MQLUA_LOOKUP_KEY = 1000 }; /* longest key, bytes */

/* Reads text (size bytes; below 4 GB), which the result refers to: text must outlive it. NULL with *error
 * (malloc'ed) that begins with name and line. Owned by the caller. Any thread. */
mqlua_lookup *mqlua_lookup_parse(const char *text, size_t size, const char *name, bool map, char **error);
void mqlua_lookup_free(mqlua_lookup *lookup);

/* The value of key, borrowed and not NUL-terminated; false when there is none. A set has empty values. value
 * may be NULL. Never fails. */
bool mqlua_lookup_get(const mqlua_lookup *lookup, const char *key, size_t size, const char **value,
                      size_t *value_size);

/* The same for an e-mail address: user@domain, then @domain. */
bool mqlua_lookup_address(const mqlua_lookup *lookup, const char *address, size_t size, const char **value,
                          size_t *value_size);

size_t mqlua_lookup_count(const mqlua_lookup *lookup);
