/* SPDX-License-Identifier: MIT */
#include "base/number.h"
#include "vm/copy_internal.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Bytes, from which on a string is remembered, so that it counts once. */
enum { LONG_STRING = 256 };

/* ---- what is left out ---- */

static void leave_out(copy_walk *w, int index)
{
    if (w->copy->type)
        return;
    w->copy->type =
        w->depth > COPY_DEPTH ? "table that is too deep" : lua_typename(w->from, lua_type(w->from, index));
    memcpy(w->copy->path, w->path, sizeof w->path);
}

void mqlua_copy_lose(copy_walk *w, const char *reason)
{
    if (w->copy->lost[0])
        return;
    if (reason)
        snprintf(w->copy->lost, sizeof w->copy->lost, "%s", reason);
    else
        snprintf(w->copy->lost, sizeof w->copy->lost,
                 "not enough memory (the cap is %zu KB, of which values that move fill three quarters)",
                 w->cap / 1024);
    memcpy(w->copy->lost_path, w->path, sizeof w->path);
}

static const char *number_text(double number, char text[32])
{
    if (isinf(number)) /* keys are never NaN */
        return number > 0 ? "inf" : "-inf";
    mqlua_number_format(number, text);
    return text;
}

size_t mqlua_copy_enter_key(copy_walk *w, int key)
{
    size_t before = w->path_size, room = sizeof w->path - before;
    char number[32];
    int size = 0;
    if (lua_type(w->from, key) == LUA_TSTRING)
        size = snprintf(w->path + before, room, ".%s", lua_tostring(w->from, key));
    else if (lua_type(w->from, key) == LUA_TNUMBER)
        size = snprintf(w->path + before, room, "[%s]", number_text(lua_tonumber(w->from, key), number));
    w->path_size = (size_t)size < room ? before + (size_t)size : sizeof w->path - 1;
    return before;
}

void mqlua_copy_leave_key(copy_walk *w, size_t before)
{
    w->path_size = before;
    w->path[before] = '\0';
}

/* ---- how much ---- */

static void give_up(copy_walk *w, const char *limit)
{
    w->limit = limit;
    lua_pushnil(w->to);
    lua_error(w->to);
}

/* Before they are made. Raises in to. */
static void count(copy_walk *w, size_t values, size_t bytes)
{
    values += w->made.values;
    bytes += w->made.bytes;
    if (w->most.values && values > w->most.values)
        give_up(w, "more values than the setting \"values\" allows");
    if (w->most.bytes && bytes > w->most.bytes)
        give_up(w, "more bytes of text than the setting \"bytes\" allows");
    w->made = (copy_amount){values, bytes};
}

/* ---- values ---- */

static bool copy_table(copy_walk *w, int index);

static void copy_string(copy_walk *w, int index)
{
    size_t size;
    const char *text = lua_tolstring(w->from, index, &size);
    bool is_long = size >= LONG_STRING;
    if (is_long && mqlua_copy_find_address(w->to, text))
        return;
    count(w, 0, size);
    lua_pushlstring(w->to, text, size);
    if (is_long)
        mqlua_copy_remember(w->to, text, 0);
}

bool mqlua_copy_value(copy_walk *w, int index)
{
    switch (lua_type(w->from, index)) {
    case LUA_TNIL:
        lua_pushnil(w->to);
        return true;
    case LUA_TBOOLEAN:
        lua_pushboolean(w->to, lua_toboolean(w->from, index));
        return true;
    case LUA_TNUMBER:
        lua_pushnumber(w->to, lua_tonumber(w->from, index));
        return true;
    case LUA_TSTRING:
        copy_string(w, index);
        return true;
    case LUA_TTABLE:
        return copy_table(w, index);
    case LUA_TLIGHTUSERDATA:
        if (!lua_touserdata(w->from, index)) {
            lua_pushlightuserdata(w->to, NULL);
            return true;
        }
        /* fall through */
    default:
        if (w->copy->other && w->copy->other(w->from, index, w->to))
            return true;
        leave_out(w, index);
        return false;
    }
}

bool mqlua_copy_pair(copy_walk *w, int key)
{
    if (!mqlua_copy_value(w, key))
        return false;
    if (mqlua_copy_value(w, key + 1))
        return true;
    lua_pop(w->to, 1);
    return false;
}

static void copy_members(copy_walk *w, int index)
{
    lua_State *from = w->from;
    int key = lua_gettop(from) + 1;
    lua_pushnil(from);
    while (lua_next(from, index)) {
        size_t before = mqlua_copy_enter_key(w, key);
        if (mqlua_copy_pair(w, key))
            lua_rawset(w->to, -3);
        mqlua_copy_leave_key(w, before);
        lua_pop(from, 1);
    }
}

typedef struct shape {
    size_t members;
    int array, hash;
} shape;

static shape shape_of(lua_State *from, int index)
{
    size_t length = lua_objlen(from, index), members = 0, within = 0;
    lua_pushnil(from);
    while (lua_next(from, index)) {
        double key = lua_type(from, -2) == LUA_TNUMBER ? lua_tonumber(from, -2) : 0;
        members++;
        within += key >= 1 && key <= (double)length && key == floor(key);
        lua_pop(from, 1);
    }
    if (within < length / 2 || length > INT_MAX / 2)
        length = within = 0; /* mostly holes */
    return (shape){members, (int)length, (int)(members - within)};
}

void mqlua_copy_push_empty(copy_walk *w, int index, size_t limit)
{
    shape s = shape_of(w->from, index);
    if (limit && s.members > limit)
        s = (shape){limit, 0, (int)limit};
    else
        count(w, s.members + 1, 0);
    lua_createtable(w->to, s.array, s.hash);
    if (w->copy->mark && lua_getmetatable(w->from, index)) {
        lua_pop(w->from, 1);
        w->copy->mark(w->from, index, w->to);
    }
}

static bool copy_table(copy_walk *w, int index)
{
    lua_State *to = w->to;
    const void *address = lua_topointer(w->from, index);
    luaL_checkstack(to, 10, NULL);
    if (mqlua_copy_find_address(to, address))
        return true;
    double number = mqlua_copy_number(w, index);
    if (mqlua_copy_find_number(to, number)) {
        if (lua_istable(to, -1))
            return true;
        lua_pop(to, 1);
        mqlua_copy_lose(w, "it is too large to be copied");
        return false;
    }
    if (++w->depth > COPY_DEPTH) {
        leave_out(w, index);
        w->depth--;
        return false;
    }
    mqlua_copy_push_empty(w, index, 0);
    mqlua_copy_remember(to, address, number);
    copy_members(w, index);
    w->depth--;
    return true;
}
