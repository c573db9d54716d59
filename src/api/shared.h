/* SPDX-License-Identifier: MIT */
#pragma once

/* mq.shared: dictionaries that all workers share, as Lua sees them. */

#include "api/env.h"
#include "base/dicts.h"

/* Makes what the policy of this state declared the capacities of its dictionaries: it is the one that serves
 * from now on. What cannot be had is logged. Any thread, while nobody else uses the state. */
void mqlua_shared_settle(mqlua_env *env);

/* Lets go of what the state declared, when it ends. */
void mqlua_shared_close(mqlua_env *env);

/* The dictionary whose object is at 1; raises for anything else. It lives as long as the state. */
mqlua_shared *mqlua_shared_check(lua_State *L);

/* The key at 2, which stays on the stack. False: *why says why it is none. Raises for what can be no key.
 * Charges for it. */
bool mqlua_shared_key(lua_State *L, const char **key, size_t *size, const char **why);

/* Adds the function to the table mq on top of the stack. May raise. */
void mqlua_shared_open(lua_State *L);
