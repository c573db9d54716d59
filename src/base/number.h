/* SPDX-License-Identifier: MIT */
#pragma once

/* Numbers as text, whatever the locale of the process: many write 1,5, and some have a decimal point of two
 * bytes. */

#include <locale.h>

/* The shortest decimal text that reads back as the same number, at most 31 characters. Finite numbers only.
 */
void mqlua_number_format(double number, char text[32]);

/* What strtod reads in the locale "C", whatever that of the process is. *end (may be NULL): behind it. Never
 * fails. */
double mqlua_number_parse(const char *text, char **end);

/* The locale "C": for functions that take one, and for uselocale around calls of libraries that print or read
 * numbers. It takes no memory and is never given back. Any thread. */
locale_t mqlua_number_locale(void);
