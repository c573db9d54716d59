/* SPDX-License-Identifier: MIT */
#pragma once

/* mq.cidr(list): sets of IP networks as Lua sees them. The sets themselves are in base/cidr.h. */

#include "base/cidr.h"

#include <lua.h>

/* Adds mq.cidr to the table on top. May raise. */
void mqlua_cidr_open(lua_State *L);
