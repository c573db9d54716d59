/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The encoding of a text file, as its first bytes show it. Editors write a byte order mark in front of UTF-8,
 * which is no part of the text. Any thread; nothing here fails.
 */

#include <stddef.h>

/* Bytes that the byte order mark of UTF-8 takes at the beginning of text: 3, or 0 where there is none. */
size_t mqlua_mark_size(const char *text, size_t size);

/* The encoding that is not UTF-8, "UTF-16" or "UTF-32"; NULL: the first bytes show none. */
const char *mqlua_mark_foreign(const char *text, size_t size);
