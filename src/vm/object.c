/* SPDX-License-Identifier: MIT */

#include "vm/object.h"
#include <string.h>

/* ---- the nearest known name ---- */

/* Edit distance, cut off at limit; names are short, anything longer is simply not near. */
static int distance(const char *a, const char *b, int limit)
{
    int row[33];
    size_t la = strlen(a), lb = strlen(b);
    if (la > 32 || lb > 32)
        return limit + 1;
    for (size_t j = 0; j <= lb; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= la; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= lb; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[lb];
}

const char *mqlua_object_nearest(const char *name, const char *const *names, size_t stride)
{
    const char *nearest = NULL;
    int best = 1 + (int)strlen(name) / 3; /* a third of the letters may be wrong */
    for (; *names; names = (const char *const *)((const char *)names + stride)) {
        int d = distance(name, *names, best);
        if (d <= best && (!nearest || d < best)) {
            best = d;
            nearest = *names;
        }
    }
    return nearest;
}

/* ---- fields ---- */

/* Upvalues of __index and __newindex: 1 the type, 2 a table of methods, 3 a table name -> field. */

static int no_such_field(lua_State *L, const mqlua_type *type, const char *key)
{
    const char *near = NULL;
    if (type->fields)
        near = mqlua_object_nearest(key, &type->fields[0].name, sizeof(mqlua_field));
    if (!near && type->methods)
        near = mqlua_object_nearest(key, &type->methods[0].name, sizeof(luaL_Reg));
    if (near)
        return luaL_error(L, "%s has no field '%s' (did you mean '%s'?)", type->name, key, near);
    return luaL_error(L, "%s has no field '%s'", type->name, key);
}

static const mqlua_field *find_field(lua_State *L, int key)
{
    lua_pushvalue(L, key);
    lua_rawget(L, lua_upvalueindex(3));
    const mqlua_field *field = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return field;
}

static int l_index(lua_State *L)
{
    const mqlua_type *type = lua_touserdata(L, lua_upvalueindex(1));
    mqlua_object_check(L, 1, type);
    const mqlua_field *field = find_field(L, 2);
    if (field) {
        lua_settop(L, 1);
        return field->get(L);
    }
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(2));
    if (!lua_isnil(L, -1))
        return 1;
    return no_such_field(L, type, luaL_checkstring(L, 2));
}

static int l_newindex(lua_State *L)
{
    const mqlua_type *type = lua_touserdata(L, lua_upvalueindex(1));
    mqlua_object_check(L, 1, type);
    const mqlua_field *field = find_field(L, 2);
    const char *key = luaL_checkstring(L, 2);
    if (!field)
        return no_such_field(L, type, key);
    if (!field->set)
        return luaL_error(L, "%s.%s cannot be assigned", type->name, key);
    lua_remove(L, 2);
    return field->set(L);
}

static int l_tostring(lua_State *L)
{
    const mqlua_type *type = lua_touserdata(L, lua_upvalueindex(1));
    lua_pushfstring(L, "%s: %p", type->name, lua_topointer(L, 1));
    return 1;
}

static void push_fields(lua_State *L, const mqlua_type *type)
{
    lua_newtable(L);
    for (const mqlua_field *field = type->fields; field && field->name; field++) {
        lua_pushlightuserdata(L, (void *)field);
        lua_setfield(L, -2, field->name);
    }
}

static void push_methods(lua_State *L, const mqlua_type *type)
{
    lua_newtable(L);
    if (type->methods)
        luaL_register(L, NULL, type->methods);
}

/* Pushes function with type, methods and fields as upvalues; methods and fields are at the indices given. */
static void push_access(lua_State *L, lua_CFunction function, const mqlua_type *type, int methods, int fields)
{
    lua_pushlightuserdata(L, (void *)type);
    lua_pushvalue(L, methods);
    lua_pushvalue(L, fields);
    lua_pushcclosure(L, function, 3);
}

void mqlua_object_register(lua_State *L, const mqlua_type *type)
{
    lua_newtable(L);
    int meta = lua_gettop(L);
    push_methods(L, type);
    push_fields(L, type);
    push_access(L, l_index, type, meta + 1, meta + 2);
    lua_setfield(L, meta, "__index");
    push_access(L, l_newindex, type, meta + 1, meta + 2);
    lua_setfield(L, meta, "__newindex");
    push_access(L, l_tostring, type, meta + 1, meta + 2);
    lua_setfield(L, meta, "__tostring");
    lua_settop(L, meta + 1);
    lua_setfield(L, meta, "methods");
    if (type->meta)
        luaL_register(L, NULL, type->meta);
    /* Scripts must not reach metatables: a __gc written in Lua would run without limits. */
    lua_pushstring(L, type->name);
    lua_setfield(L, meta, "__metatable");
    lua_pushlightuserdata(L, (void *)type);
    lua_insert(L, meta);
    lua_rawset(L, LUA_REGISTRYINDEX);
}

void mqlua_object_push_methods(lua_State *L, const mqlua_type *type)
{
    lua_pushlightuserdata(L, (void *)type);
    lua_rawget(L, LUA_REGISTRYINDEX);
    lua_getfield(L, -1, "methods");
    lua_remove(L, -2);
}

/* ---- objects ---- */

void *mqlua_object_push(lua_State *L, const mqlua_type *type, size_t size, mqlua_slot *slot)
{
    mqlua_object *object = lua_newuserdata(L, size);
    memset(object, 0, size);
    object->type = type;
    object->slot = slot;
    object->serial = slot ? slot->serial : 0;
    lua_pushlightuserdata(L, (void *)type);
    lua_rawget(L, LUA_REGISTRYINDEX);
    lua_setmetatable(L, -2);
    return object;
}

void *mqlua_object_test(lua_State *L, int index, const mqlua_type *type, bool *alive)
{
    if (lua_type(L, index) != LUA_TUSERDATA || lua_objlen(L, index) < sizeof(mqlua_object))
        return NULL;
    mqlua_object *object = lua_touserdata(L, index);
    if (object->type != type)
        return NULL;
    if (alive)
        *alive = !object->slot || object->slot->serial == object->serial;
    return object;
}

void *mqlua_object_check(lua_State *L, int index, const mqlua_type *type)
{
    bool alive;
    mqlua_object *object = mqlua_object_test(L, index, type, &alive);
    if (!object)
        luaL_typerror(L, index, type->name);
    else if (!alive)
        luaL_error(L, "%s", type->dead);
    return object;
}
