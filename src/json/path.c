/* SPDX-License-Identifier: MIT */

#include "json/path.h"
#include "base/ascii.h"
#include "vm/vm.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <lauxlib.h>

/* Of a long path only both ends are shown. */
enum { SHOWN = 6 };

static int is_name(const char *key)
{
    if (!mqlua_ascii_is_alpha(*key) && *key != '_')
        return 0;
    while (mqlua_ascii_is_alnum(*key) || *key == '_')
        key++;
    return !*key;
}

static void push_step(lua_State *L, const mqlua_path *step)
{
    if (!step->up)
        lua_pushstring(L, step->key);
    else if (!step->key)
        lua_pushfstring(L, "[%d]", (int)step->index);
    else if (is_name(step->key))
        lua_pushfstring(L, ".%s", step->key);
    else
        lua_pushfstring(L, "[\"%s\"]", step->key);
}

static void push_path(lua_State *L, const mqlua_path *path)
{
    const mqlua_path *steps[2 * SHOWN] = {NULL};
    unsigned count = 0, depth = path->depth;
    for (const mqlua_path *step = path; step; step = step->up)
        if (step->depth < SHOWN || step->depth + SHOWN > depth)
            steps[count++] = step;
    lua_pushliteral(L, "");
    while (count--) {
        const mqlua_path *step = steps[count];
        if (step->up && count + 1 < 2 * SHOWN && step->depth == depth - SHOWN + 1 && depth >= 2 * SHOWN) {
            lua_pushliteral(L, "...");
            lua_concat(L, 2);
        }
        push_step(L, step);
        lua_concat(L, 2);
    }
}

int mqlua_path_raise(lua_State *L, const mqlua_path *path, const char *format, ...)
{
    luaL_checkstack(L, 8, "too deep");
    luaL_where(L, 1);
    push_path(L, path);
    lua_pushliteral(L, ": ");
    va_list arguments;
    va_start(arguments, format);
    lua_pushvfstring(L, format, arguments);
    va_end(arguments);
    lua_concat(L, 4);
    lua_error(L);
    __builtin_unreachable();
}

void mqlua_path_count(lua_State *L, const mqlua_path *path, size_t bytes)
{
    const mqlua_vm_limits *limits = mqlua_vm_limits_of(mqlua_vm_of(L));
    mqlua_amount *amount = path->amount;
    mqlua_vm_charge(L, 1 + bytes / 32);
    if (!amount)
        return;
    if (limits->values && ++amount->values > (size_t)limits->values)
        mqlua_path_raise(L, path,
                         "more than %d values at once (json.values in the settings); a table counts as often "
                         "as it is met",
                         limits->values);
    amount->bytes += bytes;
    if (limits->bytes && amount->bytes > limits->bytes)
        mqlua_path_raise(L, path,
                         "more than %d KB of text at once (json.bytes in the settings); a text counts as "
                         "often as it is met",
                         (int)(limits->bytes / 1024));
}
