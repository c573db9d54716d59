/* SPDX-License-Identifier: MIT */
#include "api/clock.h"
#include "mq/loop.h"

#include <time.h>

static int l_now(lua_State *L)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    lua_pushnumber(L, (double)now.tv_sec + (double)now.tv_nsec * 1e-9);
    return 1;
}

static int l_monotonic(lua_State *L)
{
    lua_pushnumber(L, mqlua_loop_now());
    return 1;
}

void mqlua_clock_open(lua_State *L)
{
    lua_pushcfunction(L, l_now);
    lua_setfield(L, -2, "now");
    lua_pushcfunction(L, l_monotonic);
    lua_setfield(L, -2, "monotonic");
}
