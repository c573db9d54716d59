/* SPDX-License-Identifier: MIT */
#pragma once

/* mq.log.info, mq.log.warn and mq.log.error. */

#include <lua.h>

/* Adds mq.log to the table on top. May raise. */
void mqlua_logging_open(lua_State *L);
