/* SPDX-License-Identifier: MIT */

/* Lands in the Lua of a host that has one of its own. */

#include "wrong.h"

extern void *luaL_newstate(void);

void mq_initialize(void)
{
    luaL_newstate();
}
