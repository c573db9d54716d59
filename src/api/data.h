/* SPDX-License-Identifier: MIT */
#pragma once

/* mq.file, mq.set, mq.map: the data files of a policy as Lua sees them. */

#include <lua.h>
#include <stddef.h>

/* Adds the functions to the table mq on top of the stack, and puts an mq.json.decode that names data files in
 * place of the one that is there. May raise. */
void mqlua_data_open(lua_State *L);

/* The name of the data file whose content text is, as mq.file returned it, so that errors can say where text
 * comes from; NULL: none of the policy's. Borrowed from the bundle. Charged; may raise for that. */
const char *mqlua_data_name(lua_State *L, const char *text, size_t size);
