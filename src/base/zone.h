/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Time zones by name, from the system's files (TZif, RFC 8536), without the process's own zone, which is the
 * host's business. After the last change that a file lists, what it had last goes on. A zone never changes
 * once it is loaded: any thread may ask it.
 */

#include <stddef.h>
#include <stdint.h>

typedef struct mqlua_zone mqlua_zone;

/* The zone of that name, such as "Europe/Berlin". NULL with *error (malloc'ed) when there is none, or its
 * file is damaged. Owned by the caller. */
mqlua_zone *mqlua_zone_load(const char *name, char **error);

/* The same from the bytes of a file. */
mqlua_zone *mqlua_zone_parse(const char *bytes, size_t size, char **error);
void mqlua_zone_free(mqlua_zone *zone);

/* Seconds east of UTC at time (seconds since 1970). */
int mqlua_zone_offset(const mqlua_zone *zone, int64_t time);
