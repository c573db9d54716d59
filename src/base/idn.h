/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Domain names beyond ASCII as DNS has them (A-labels, RFC 5891), as far as that goes without the tables of
 * Unicode: letters of Latin, Greek and Cyrillic are made small, wide letters and combining marks stay.
 */

#include <stddef.h>

enum { MQLUA_IDN_LABEL = 63 }; /* bytes */

/* Writes the domain name to out, which has room for 4 * size bytes and 8 more, with each label that is not
 * ASCII as an A-label. A label that has none (no UTF-8, or longer than 63 bytes) stays as it is; *left (may
 * be NULL) counts those. Returns the size. ASCII is copied as it is. Never fails. */
size_t mqlua_idn_to_ascii(const char *name, size_t size, char *out, size_t *left);
