/* SPDX-License-Identifier: MIT */

#include "api/edits.h"
#include "api/headers.h"
#include "base/ascii.h"
#include "base/header.h"

#include <string.h>

typedef struct walk {
    lua_State *L;
    int edits;
    int rules;        /* lower-case name to what takes the place of the fields; false: nothing */
    int seen;         /* lower-case names of the fields in the content */
    int result;       /* the list, or the value that was found */
    int count;        /* in the list */
    const char *name; /* NULL: all fields are wanted */
    size_t name_size;
    int number; /* of the field that is wanted among those of that name */
} walk;

static void push_lower(lua_State *L, const char *text, size_t size)
{
    luaL_Buffer buffer;
    luaL_buffinit(L, &buffer);
    for (size_t i = 0; i < size; i++)
        luaL_addchar(&buffer, mqlua_ascii_lower(text[i]));
    luaL_pushresult(&buffer);
}

static bool is_done(const walk *w)
{
    return w->name && w->number < 1;
}

/* Is it about a field that is asked for? */
static bool is_named(const walk *w, const char *name, size_t size)
{
    mqlua_vm_charge(w->L, 1);
    return !w->name || (w->name_size == size && mqlua_ascii_same(name, w->name, size));
}

/* Counts a field of the right name. */
static bool is_wanted(walk *w)
{
    return !w->name || --w->number == 0;
}

/* Pops the value of a field that is wanted. */
static void take(walk *w, const char *name, size_t size)
{
    lua_State *L = w->L;
    if (w->name) {
        lua_replace(L, w->result);
        return;
    }
    lua_createtable(L, 0, 2);
    lua_insert(L, -2);
    lua_setfield(L, -2, "value");
    lua_pushlstring(L, name, size);
    lua_setfield(L, -2, "name");
    lua_rawseti(L, w->result, ++w->count);
}

static void add_one(walk *w, const char *name, size_t size, int value)
{
    if (is_done(w) || !lua_isstring(w->L, value) || !is_wanted(w))
        return;
    lua_pushvalue(w->L, value);
    lua_tostring(w->L, -1); /* a number becomes a string */
    take(w, name, size);
}

/* The value at the top: one, or a list. */
static void add_values(walk *w, const char *name, size_t size)
{
    int values = lua_gettop(w->L);
    if (!lua_istable(w->L, values)) {
        add_one(w, name, size, values);
        return;
    }
    for (int i = 1, count = (int)lua_objlen(w->L, values); i <= count; i++) {
        lua_rawgeti(w->L, values, i);
        add_one(w, name, size, values + 1);
        lua_settop(w->L, values);
    }
}

typedef void visit(walk *w, const char *name, size_t size);

/* Calls visit for each field in edits[kind] with its values at the top of the stack. */
static void each(walk *w, const char *kind, visit *call)
{
    lua_State *L = w->L;
    lua_getfield(L, w->edits, kind);
    int fields = lua_gettop(L);
    lua_pushnil(L);
    while (lua_istable(L, fields) && lua_next(L, fields)) {
        size_t size = 0;
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &size) : "";
        if (is_named(w, name, size) && mqlua_header_is_name(name, size))
            call(w, name, size);
        lua_settop(L, fields + 1);
    }
    lua_settop(L, fields - 1);
}

static void add_rule(walk *w, const char *name, size_t size)
{
    push_lower(w->L, name, size);
    lua_pushvalue(w->L, -2);
    lua_rawset(w->L, w->rules);
}

/* The name at the top. */
static void add_removal(walk *w)
{
    if (lua_type(w->L, -1) != LUA_TSTRING)
        return;
    size_t size;
    const char *name = lua_tolstring(w->L, -1, &size);
    if (!is_named(w, name, size))
        return;
    push_lower(w->L, name, size);
    lua_pushboolean(w->L, false);
    lua_rawset(w->L, w->rules);
}

static void add_removals(walk *w)
{
    lua_State *L = w->L;
    lua_getfield(L, w->edits, "remove");
    int names = lua_gettop(L);
    add_removal(w);
    for (int i = 1, count = lua_istable(L, names) ? (int)lua_objlen(L, names) : 0; i <= count; i++) {
        lua_rawgeti(L, names, i);
        add_removal(w);
        lua_settop(L, names);
    }
    lua_pop(L, 1);
}

/* A field of the content: left out, replaced where it is the first of its name, or kept. */
static void pass(walk *w, mqlua_header_field *field)
{
    lua_State *L = w->L;
    int top = lua_gettop(L);
    if (!is_named(w, field->name, field->name_size))
        return;
    push_lower(L, field->name, field->name_size);
    lua_pushvalue(L, -1);
    lua_rawget(L, w->seen);
    bool first = lua_isnil(L, -1);
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_rawget(L, w->rules);
    if (lua_isnil(L, -1) && is_wanted(w)) {
        mqlua_headers_push_value(L, field);
        take(w, field->name, field->name_size);
    } else if (first && lua_toboolean(L, -1)) {
        add_values(w, field->name, field->name_size);
    }
    lua_settop(L, top + 1);
    lua_pushboolean(L, true);
    lua_rawset(L, w->seen);
}

static void add_missing(walk *w, const char *name, size_t size)
{
    push_lower(w->L, name, size);
    lua_rawget(w->L, w->seen);
    bool missing = lua_isnil(w->L, -1);
    lua_pop(w->L, 1);
    if (missing)
        add_values(w, name, size);
}

/* Leaves result as the only value more on the stack. */
static void run(walk *w, const char *mime, size_t size)
{
    const char *at = mqlua_header_begin(mime, size), *end = mime + size;
    mqlua_header_field field;
    luaL_checkstack(w->L, 20, "too deep");
    w->result = lua_gettop(w->L);
    lua_newtable(w->L);
    w->rules = w->result + 1;
    lua_newtable(w->L);
    w->seen = w->result + 2;
    each(w, "update", add_rule);
    each(w, "replace", add_rule);
    add_removals(w);
    each(w, "prepend", add_values);
    while (!is_done(w) && mqlua_header_next(&at, end, &field))
        pass(w, &field);
    each(w, "replace", add_missing);
    each(w, "append", add_values);
    each(w, "add", add_values);
    lua_settop(w->L, w->result);
}

bool mqlua_edits_push(lua_State *L, const char *mime, size_t size, int edits, const char *name, int number)
{
    walk w = {.L = L, .edits = edits, .name = name, .name_size = strlen(name), .number = number};
    lua_pushnil(L);
    run(&w, mime, size);
    if (is_done(&w))
        return true;
    lua_pop(L, 1);
    return false;
}

void mqlua_edits_push_all(lua_State *L, const char *mime, size_t size, int edits)
{
    walk w = {.L = L, .edits = edits};
    lua_newtable(L);
    run(&w, mime, size);
}

static void forget(lua_State *L, int fields, const char *name, size_t size)
{
    lua_pushnil(L);
    while (lua_next(L, fields)) {
        size_t other_size = 0;
        const char *other = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &other_size) : "";
        mqlua_vm_charge(L, 1);
        lua_settop(L, fields + 1);
        if (other_size != size || !mqlua_ascii_same(other, name, size))
            continue;
        lua_pushvalue(L, -1);
        lua_pushnil(L);
        lua_rawset(L, fields); /* of a key that is there: next goes on */
    }
}

int mqlua_edits_l_forget(lua_State *L)
{
    static const char *const kinds[] = {"prepend", "append", "add", "replace", "update", NULL};
    size_t size;
    luaL_checktype(L, 1, LUA_TTABLE);
    const char *name = luaL_checklstring(L, 2, &size);
    for (int i = 0; kinds[i]; i++) {
        lua_settop(L, 2);
        lua_getfield(L, 1, kinds[i]);
        if (lua_istable(L, 3))
            forget(L, 3, name, size);
    }
    return 0;
}
