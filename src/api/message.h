/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Messages as a policy sees them. What a handler writes is staged (in the document behind message.json and in
 * local) and reaches the host by mqlua_message_commit, all of it or nothing.
 */

#include "api/message_host.h"

/* A zeroed (or ended) struct becomes the message of an event. */
void mqlua_message_init(mqlua_message *message, mqlua_env *env, MQ_Message *host, mqlua_event event);

/* The end: its objects are dead from here on. Not from inside Lua. */
void mqlua_message_end(mqlua_message *message);

/* Pushes the one object of the message, or its JSON. Raise on lack of memory, or when the host's JSON cannot
 * be read. */
void mqlua_message_push(lua_State *L, mqlua_message *message);
void mqlua_message_push_json(lua_State *L, mqlua_message *message);
mqlua_doc *mqlua_message_document(lua_State *L, mqlua_message *message); /* not pushed */

/* Writes what is staged. 0, or -1 with *error (malloc'ed, may be NULL): nothing was written then. Not from
 * inside Lua. */
int mqlua_message_commit(mqlua_message *message, char **error);
void mqlua_message_discard(mqlua_message *message);

void mqlua_message_open(lua_State *L);

/* set_mime(message, buffer): as message.mime = buffer, for bytes that were a message's MIME and where a part
 * was edited: lines end in them as they did before. A lua_CFunction; raises. */
int mqlua_message_l_set_mime(lua_State *L);

/* properties.c: raises unless the value at index may be assigned to MailerQ's property key. */
void mqlua_properties_check(lua_State *L, const char *key, int index);

/* properties.c: whether the key may stay in a message that is quarantined or discarded: it is on the list of
 * those that decide nothing, or not MailerQ's. Any thread. */
bool mqlua_properties_lasts(const char *key);
