/* SPDX-License-Identifier: MIT */
#pragma once

/* Addresses that a script gives: to message.recipient and message.envelope, the members of the JSON behind
 * them, and mq.quarantine. */

#include <lua.h>
#include <stdbool.h>

/*
 * Puts the text of the address at index in its place; what is the name of the place, for messages. What is an
 * address is said by base/email.h; anything else raises, with the reason. nil, "", "<>" and an address that
 * is null are the null sender, for which nil is put; they raise unless may_be_null.
 *
 * What came from a client is not the fault of a handler that passes it on. So these are taken as well:
 * address objects; the text of sender and recipient of a message that is being handled; and a text made of
 * such parts, as localpart and domain give them, with the local part put in quotes where it has to be.
 */
void mqlua_assign_address(lua_State *L, const char *what, int index, bool may_be_null);
