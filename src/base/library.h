/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Shared libraries that are opened when they are first needed. The plugin is not linked with them: where a
 * host exports functions of the same names (an MTA may carry an OpenSSL of its own), a linked plugin would
 * call those. What is found here are the functions of the library itself, and its own calls stay in it.
 */

#include <stdbool.h>
#include <stddef.h>

/* One function: its name, and where its pointer belongs in the table that is filled. */
typedef struct mqlua_library_symbol {
    const char *name;
    size_t offset;
} mqlua_library_symbol;

#define MQLUA_LIBRARY_SYMBOL(table, member)                                                                  \
    {                                                                                                        \
#member, offsetof(table, member)                                                                     \
    }

/* Opens the library soname ("libcrypto.so.3"), which stays in the process, and fills the table. symbols end
 * with a NULL name. False when the library, or one of the functions, is not there; the table is zero then.
 * May read files. Any thread; raises nothing. */
bool mqlua_library_open(const char *soname, const mqlua_library_symbol *symbols, void *table, size_t size);
