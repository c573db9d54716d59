/* SPDX-License-Identifier: MIT */
#include "api/logging.h"
#include "api/env.h"
#include "vm/explain.h"
#include "vm/stack.h"

#include <stdio.h>

/* Leaves the finished text at 1. Without arguments it is taken as it is, so that "100%" can be logged. */
static const char *format(lua_State *L, const char *name)
{
    if (lua_isuserdata(L, 1) && luaL_callmeta(L, 1, "__tostring"))
        lua_replace(L, 1); /* an address, a buffer */
    luaL_checkstring(L, 1);
    if (lua_gettop(L) == 1)
        return mqlua_explain_line(L, 1);
    mqlua_stack_check(L);                  /* __tostring */
    lua_pushvalue(L, lua_upvalueindex(2)); /* string.format, as it was when the library opened */
    lua_insert(L, 1);
    if (lua_pcall(L, lua_gettop(L) - 1, 1, 0) != 0) {
        if (lua_type(L, -1) != LUA_TSTRING || mqlua_vm_expired(mqlua_vm_of(L)))
            lua_error(L); /* not about the format: the budget, or what a __tostring raised */
        /* Called from C, string.format has no name for its own message. */
        lua_pushfstring(L, "to '%s'", name);
        luaL_error(L, "%s", luaL_gsub(L, lua_tostring(L, -2), "to '?'", lua_tostring(L, -1)));
    }
    return mqlua_explain_line(L, 1);
}

static int l_write(lua_State *L)
{
    static const char *const names[] = {
        [MQLUA_LOG_CRIT] = "error", [MQLUA_LOG_WARN] = "warn", [MQLUA_LOG_INFO] = "info"};
    int level = (int)lua_tointeger(L, lua_upvalueindex(1));
    const char *text = format(L, names[level]);
    const mqlua_env *env = mqlua_env_of(L);
    lua_Debug where;
    char place[LUA_IDSIZE + 16] = "";
    char generation[32] = "check";
    if (lua_getstack(L, 1, &where) && lua_getinfo(L, "Sl", &where) && where.currentline > 0)
        snprintf(place, sizeof place, "%s:%d: ", where.short_src, where.currentline);
    if (env->phase != MQLUA_CHECKING)
        snprintf(generation, sizeof generation, "generation %llu", (unsigned long long)env->generation);
    mqlua_log(env->symbols, level, "%s%s (%s)", place, text, generation);
    return 0;
}

void mqlua_logging_open(lua_State *L)
{
    static const struct {
        const char *name;
        int level;
    } levels[] = {{"info", MQLUA_LOG_INFO}, {"warn", MQLUA_LOG_WARN}, {"error", MQLUA_LOG_CRIT}};
    lua_createtable(L, 0, 3);
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        lua_pushinteger(L, levels[i].level);
        lua_getglobal(L, "string");
        lua_getfield(L, -1, "format");
        lua_remove(L, -2);
        lua_pushcclosure(L, l_write, 2);
        lua_setfield(L, -2, levels[i].name);
    }
    lua_setfield(L, -2, "log");
}
