/* SPDX-License-Identifier: MIT */
#pragma once

#include <lua.h>

/* Adds hash, hmac and equal to the table on top. OpenSSL is opened by the first call. Raises on lack of
 * memory. */
void mqlua_digests_open(lua_State *L);
