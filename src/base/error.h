/* SPDX-License-Identifier: MIT */
#pragma once

/* Error texts that travel from C to whoever reports them. */

/* Puts a malloc'ed message into *error (NULL when memory is out); an earlier one there is kept, because the
 * first failure is the cause. error may be NULL: nobody wants to know. Never fails. Any thread. */
void mqlua_error_set(char **error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What an errno means, in English and ASCII whatever the locale of the process (strerror translates, into an
 * 8-bit charset where the locale has one). Never fails. Any thread. */
const char *mqlua_error_text(int number);
