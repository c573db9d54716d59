/* SPDX-License-Identifier: MIT */

#include "api/memoize.h"
#include "api/await.h"
#include "api/tasks.h"
#include "json/value.h"

/* detach(fn): a task of nobody, which goes on when the task that asks for it ends. Its handle. */
static int l_detach(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    mqlua_tasks_push_job(L, 1, mqlua_task_lane(mqlua_vm_of(L)), NULL);
    return 1;
}

/* check_wait(): raises where nothing can wait. */
static int l_check_wait(lua_State *L)
{
    mqlua_await_check(L, "mq.memoize");
    return 0;
}

/* copy(value): the same with tables of its own; nil stays nil. Raises for what JSON cannot hold, and for more
 * than the limits allow. */
static int l_copy(lua_State *L)
{
    mqlua_amount amount = {0};
    mqlua_path path = {.key = "the result of a memoized function", .amount = &amount};
    lua_settop(L, 1);
    if (!lua_isnil(L, 1))
        mqlua_value_copy_out(L, 1, &path);
    return 1;
}

void mqlua_memoize_push(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"detach", l_detach}, {"check_wait", l_check_wait}, {"copy", l_copy}, {NULL, NULL}};
    lua_newtable(L);
    luaL_register(L, NULL, functions);
}
