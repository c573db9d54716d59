/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Cuts the value of a field such as To into its addresses, before GMime reads each. GMime reads a long list
 * of names without '@' in quadratic time, and calls itself for each group, also for one in a group.
 */

#include <stdbool.h>
#include <stddef.h>

typedef struct mqlua_mime_addresses {
    const char *at;    /* NUL-terminated; where the next address begins */
    const char *group; /* the name of the group that it is in; NULL: none */
    size_t group_size;
    const char *address; /* the one that was found, without blanks around it */
    size_t size;
} mqlua_mime_addresses;

/* Bytes of one address with its name; longer ones are passed over. */
enum { MQLUA_MIME_ADDRESS = 1000 };

/* Starts with at set and the rest zeroed. False: there is none left. Any thread. */
bool mqlua_mime_next_address(mqlua_mime_addresses *list);
