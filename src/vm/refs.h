/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * References in the registry that survive a lack of memory. LuaJIT grows a table in two steps: when memory
 * runs out between them, integer keys that were in its hash part are lost. In a table of a script that is one
 * table; in the registry it would be every object that C holds. So luaL_ref is not used.
 */

#include "vm/vm.h"

/* As luaL_ref(L, LUA_REGISTRYINDEX): pops a value that is not nil and returns a reference to it, for
 * lua_rawgeti and mqlua_refs_drop. Raises on lack of memory; the registry is as it was then. */
int mqlua_refs_add(lua_State *L);

/* Gives a reference back; below 0 is none. Needs no memory, never raises. */
void mqlua_refs_drop(mqlua_vm *vm, int reference);
