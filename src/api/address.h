/* SPDX-License-Identifier: MIT */
#pragma once

/* Addresses: a copy of the text, so that they live as long as Lua holds them. Only is_local needs the host.
 */

#include "api/env.h"
#include "vm/object.h"

/* The "local" mark of a recipient: on an address or a message of the host, whichever its API says. Part of an
 * event; its end makes the address objects that name it read only. */
typedef struct mqlua_local {
    mqlua_slot slot;
    void *host; /* MQ_Address or MQ_Message; NULL: not any more, or this host's API is not known */
    const char *unavailable; /* why host is NULL, for the script */
    bool staged, value;
} mqlua_local;

/* Pushes an address. email as the host gave it: NULL and "" are the null sender, one pair of <> is stripped,
 * and what follows a space is cut. local may be NULL. Raises on lack of memory. */
void mqlua_address_push(lua_State *L, const char *email, mqlua_local *local);

/* The address object at index: its text (NULL: the null sender) and size. False when it is something else.
 * Never raises. */
bool mqlua_address_get(lua_State *L, int index, const char **email, size_t *size);

void mqlua_address_open(lua_State *L);
