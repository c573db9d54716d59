/* SPDX-License-Identifier: MIT */
#include "vm/date.h"
#include "base/number.h"
#include "vm/vm.h"

#include <lauxlib.h>
#include <lualib.h>
#include <string.h>
#include <time.h>

/* Of a finished text. A conversion may have a width, which makes it as long as one likes. */
enum { LONGEST = 64 * 1024 };

/* Adds what the conversions in format make of parts to a buffer that starts with size bytes and is doubled
 * until it is enough. A mark in front tells an empty text from one that does not fit. */
static int push_time(lua_State *L, const char *format, const struct tm *parts)
{
    size_t size = 2 * strlen(format) + 200;
    const char *marked = lua_pushfstring(L, "x%s", format);
    for (; size <= 2 * LONGEST; size *= 2) {
        mqlua_vm_charge(L, size / 16);
        char *text = lua_newuserdata(L, size);
        size_t length = strftime_l(text, size, marked, parts, mqlua_number_locale());
        if (length) {
            lua_pushlstring(L, text + 1, length - 1);
            return 1;
        }
        lua_pop(L, 1);
    }
    return luaL_error(L, "the date is longer than %d bytes", LONGEST);
}

/* Upvalue 1: LuaJIT's own function, which makes the tables. */
static int l_date(lua_State *L)
{
    size_t size;
    const char *format = luaL_optlstring(L, 1, "%c", &size);
    time_t when = lua_isnoneornil(L, 2) ? time(NULL) : (time_t)luaL_checknumber(L, 2);
    bool utc = *format == '!';
    struct tm parts;
    format += utc;
    if (strncmp(format, "*t", 2) == 0) {
        lua_pushvalue(L, lua_upvalueindex(1));
        lua_insert(L, 1);
        lua_call(L, lua_gettop(L) - 1, 1);
        return 1;
    }
    luaL_argcheck(L, size <= LONGEST, 1, "is too long");
    if (!(utc ? gmtime_r(&when, &parts) : localtime_r(&when, &parts))) {
        lua_pushnil(L);
        return 1;
    }
    return push_time(L, format, &parts);
}

void mqlua_date_open(lua_State *L)
{
    lua_getglobal(L, LUA_OSLIBNAME);
    luaL_checktype(L, -1, LUA_TTABLE);
    lua_getfield(L, -1, "date");
    lua_pushcclosure(L, l_date, 1);
    lua_setfield(L, -2, "date");
    lua_pop(L, 1);
}
