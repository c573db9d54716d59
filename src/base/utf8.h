/* SPDX-License-Identifier: MIT */
#pragma once

/* UTF-8 as RFC 3629 has it. */

#include <stddef.h>
#include <stdint.h>

/* The size of the character at text, and its number in *point (may be NULL). 0 when it is none: overlong
 * forms, surrogates, numbers above U+10FFFF, and what ends within size bytes, which must be 1 or more. */
size_t mqlua_utf8_read(const char *text, size_t size, uint32_t *point);
