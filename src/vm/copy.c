/* SPDX-License-Identifier: MIT */
#include "vm/copy.h"
#include "base/number.h"
#include "vm/vm_internal.h"
#include "vm/refs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DEPTH = 100 }; /* of tables in tables; what is deeper is left out */

typedef struct walk {
    mqlua_copy *copy;
    mqlua_vm *target;
    int reference, copied;
    lua_State *from, *to;
    bool failed;
    int depth;
    char path[100];
    size_t path_size;
    char *error; /* of to */
} walk;

static void leave_out(walk *w, int index)
{
    if (w->copy->type)
        return;
    w->copy->type =
        w->depth > DEPTH ? "table that is too deep" : lua_typename(w->from, lua_type(w->from, index));
    memcpy(w->copy->path, w->path, sizeof w->path);
}

static const char *number_text(double number, char text[32])
{
    if (isinf(number)) /* keys are never NaN */
        return number > 0 ? "inf" : "-inf";
    mqlua_number_format(number, text);
    return text;
}

static size_t enter_key(walk *w, int key)
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

static void leave_key(walk *w, size_t before)
{
    w->path_size = before;
    w->path[before] = '\0';
}

static bool copy_table(walk *w, int index);

/* Pushes a copy of the value at index of from on to; false, and nothing pushed, when it is left out. */
static bool copy_value(walk *w, int index)
{
    size_t size;
    const char *text;
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
        text = lua_tolstring(w->from, index, &size);
        lua_pushlstring(w->to, text, size);
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

/* The stack of to: the table of what was copied at 2, the copy at its top. */
static void copy_members(walk *w, int index)
{
    lua_State *from = w->from, *to = w->to;
    int key = lua_gettop(from) + 1;
    lua_pushnil(from);
    while (lua_next(from, index)) {
        size_t before = enter_key(w, key);
        if (copy_value(w, key)) {
            if (copy_value(w, key + 1))
                lua_rawset(to, -3);
            else
                lua_pop(to, 1);
        }
        leave_key(w, before);
        lua_pop(from, 1);
    }
}

static bool copy_table(walk *w, int index)
{
    lua_State *from = w->from, *to = w->to;
    void *identity = (void *)lua_topointer(from, index);
    luaL_checkstack(to, 8, NULL);
    lua_pushlightuserdata(to, identity);
    lua_rawget(to, 2);
    if (!lua_isnil(to, -1))
        return true;
    lua_pop(to, 1);
    if (++w->depth > DEPTH) {
        leave_out(w, index);
        w->depth--;
        return false;
    }
    lua_newtable(to);
    lua_pushlightuserdata(to, identity);
    lua_pushvalue(to, -2);
    lua_rawset(to, 2);
    if (w->copy->mark && lua_getmetatable(from, index)) {
        lua_pop(from, 1);
        w->copy->mark(from, index, to);
    }
    copy_members(w, index);
    w->depth--;
    return true;
}

static int copy_into(lua_State *to)
{
    walk *w = lua_touserdata(to, 1);
    w->to = to;
    lua_newtable(to);
    lua_rawgeti(w->from, LUA_REGISTRYINDEX, w->reference);
    int index = lua_gettop(w->from);
    if (copy_value(w, index) && !lua_isnil(to, -1))
        w->copied = mqlua_refs_add(to);
    return 0;
}

/* Protected in from, where all stack that is needed is taken first: an error raised in from while to is
 * running would unwind past to's protected call. */
static int copy_out(lua_State *from)
{
    walk *w = lua_touserdata(from, 1);
    w->from = from;
    luaL_checkstack(from, DEPTH * 2 + 20, NULL);
    w->failed = mqlua_vm_setup(w->target, copy_into, w, &w->error) != 0;
    return 0;
}

bool mqlua_copy_reference(mqlua_copy *copy, mqlua_vm *from, int reference, mqlua_vm *to, int *copied,
                          char **error)
{
    walk w = {.copy = copy, .target = to, .reference = reference, .copied = LUA_NOREF};
    copy->path[0] = '\0';
    copy->type = NULL;
    bool good = mqlua_vm_setup(from, copy_out, &w, error) == 0;
    if (good && w.failed) {
        *error = w.error;
        good = false;
        mqlua_vm_relieve(to); /* of what was copied until then */
    }
    *copied = good ? w.copied : LUA_NOREF;
    return good;
}
