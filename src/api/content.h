/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The content of a message (its MIME): what it is now, and what may take its place. Called on the worker's
 * thread during the message's event; nothing yields.
 */

#include "api/message_host.h"

/* The content that the host has: its size and its bytes, which stay until another one is set. NULL: none. On
 * outgoing mail it is what a plugin set, else the JSON's string. Never raises. */
const char *mqlua_content_get(const mqlua_message *message, size_t *size);

/* As a hook of the document: pushes the content as a buffer, or nil. Raises on lack of memory. */
void mqlua_content_push(lua_State *L, void *message);

/* As a hook of the document: gives the string or buffer at index to the host, unless the host has the same
 * bytes already. Never raises. */
void mqlua_content_apply(lua_State *L, void *message, int index);

/* Makes the value at index one that mqlua_content_apply takes. What the host has already is left as it is.
 * Raises for what cannot be a message, and where MailerQ might lose it, or undo what it replaces. */
void mqlua_content_check(lua_State *L, const mqlua_message *message, int index);
