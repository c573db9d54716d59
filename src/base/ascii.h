/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Letters, digits and comparing without case, for ASCII alone. The functions of <ctype.h> and <strings.h> ask
 * the locale of the process, which is the host's business: under a Turkish one tolower('I') is no 'i', under
 * an 8-bit one tolower changes bytes of UTF-8. Bytes beyond ASCII are in no class here and stay as they are.
 *
 * A char may be signed or not: all functions take any char, EOF included. Nothing fails. Any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static inline bool mqlua_ascii_is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static inline bool mqlua_ascii_is_upper(int c)
{
    return c >= 'A' && c <= 'Z';
}

static inline bool mqlua_ascii_is_alpha(int c)
{
    return (c >= 'a' && c <= 'z') || mqlua_ascii_is_upper(c);
}

/* Blanks, tabs (of both kinds) and ends of lines and pages. */
static inline bool mqlua_ascii_is_space(int c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static inline bool mqlua_ascii_is_alnum(int c)
{
    return mqlua_ascii_is_alpha(c) || mqlua_ascii_is_digit(c);
}

static inline char mqlua_ascii_lower(char c)
{
    return mqlua_ascii_is_upper(c) ? (char)(c + ('a' - 'A')) : c;
}

/* Are size bytes of both the same but for the case of letters? */
static inline bool mqlua_ascii_same(const char *a, const char *b, size_t size)
{
    size_t i = 0;
    while (i < size && mqlua_ascii_lower(a[i]) == mqlua_ascii_lower(b[i]))
        i++;
    return i == size;
}

/* Does the text a (size bytes, a NUL is one of them) begin with word (NUL-terminated), but for case? */
static inline bool mqlua_ascii_begins(const char *a, size_t size, const char *word)
{
    size_t length = strlen(word);
    return size >= length && mqlua_ascii_same(a, word, length);
}

/* Are two NUL-terminated texts the same but for the case of letters? */
static inline bool mqlua_ascii_equal(const char *a, const char *b)
{
    size_t size = strlen(a);
    return size == strlen(b) && mqlua_ascii_same(a, b, size);
}
