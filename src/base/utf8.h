/* SPDX-License-Identifier: MIT */
#pragma once

/* UTF-8 as RFC 3629 has it. Any thread; nothing is allocated. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What stands for a byte that is no UTF-8: U+FFFD. */
#define MQLUA_UTF8_REPLACEMENT "\xef\xbf\xbd"
enum { MQLUA_UTF8_REPLACEMENT_SIZE = 3 };

/* The size of the character at text, and its number in *point (may be NULL). 0 when it is none: overlong
 * forms, surrogates, numbers above U+10FFFF, and what ends within size bytes, which must be 1 or more. */
size_t mqlua_utf8_read(const char *text, size_t size, uint32_t *point);

bool mqlua_utf8_is(const char *text, size_t size);

/* Writes text to to with U+FFFD in place of each byte that is no UTF-8, and returns the size. Counts only
 * where to is NULL. The result has at most three times the size of text. */
size_t mqlua_utf8_clean(char *to, const char *text, size_t size);
