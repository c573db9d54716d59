/* SPDX-License-Identifier: MIT */

#include "vm/files.h"
#include <lauxlib.h>
#include <lualib.h>
#include <sys/stat.h>

/* Raises for a path that leads to a pipe, a device or a socket. Everything else is the original's business.
 */
static int l_check(lua_State *L)
{
    struct stat st;
    const char *path = lua_tostring(L, 1);
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        lua_pushfstring(L, "%s is not a regular file: it could block the worker", path);
    else
        lua_pushnil(L);
    return 1;
}

static const char source[] = "local original, check, type, error = ...\n"
                             "return function(path, ...)\n"
                             "  local wrong = type(path) == 'string' and check(path)\n"
                             "  if wrong then error(wrong, 2) end\n"
                             "  return original(path, ...)\n"
                             "end";

void mqlua_files_open(lua_State *L)
{
    static const char *const names[] = {"open", "lines", "input", "output"};
    lua_getglobal(L, LUA_IOLIBNAME);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (luaL_loadbuffer(L, source, sizeof source - 1, "=[mailerq-lua]"))
            lua_error(L);
        lua_getfield(L, -2, names[i]);
        lua_pushcfunction(L, l_check);
        lua_getglobal(L, "type");
        lua_getglobal(L, "error");
        lua_call(L, 4, 1);
        lua_setfield(L, -2, names[i]);
    }
    lua_pop(L, 1);
}
