/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The header as it will be sent: the fields of the content with the edits of json.headers, as a policy has
 * made them. Edits are taken in this order: remove; replace (adds what is not there) and update (does not)
 * put their values in place of the first field of a name; prepend goes before all, append and add behind all.
 * What is no edit (other shapes, names that no field can have) is passed over. Called from the thread of the
 * vm; nothing yields.
 */

#include "vm/vm.h"

/* As mqlua_headers_push and mqlua_headers_push_all, with the edits in the table at index edits. Both raise on
 * lack of memory. */
bool mqlua_edits_push(lua_State *L, const char *mime, size_t size, int edits, const char *name, int number);
void mqlua_edits_push_all(lua_State *L, const char *mime, size_t size, int edits);

/* For lua_pushcfunction: (edits, name) takes out the fields of that name, whatever the case, that are to be
 * added or changed. */
int mqlua_edits_l_forget(lua_State *L);
