/* SPDX-License-Identifier: MIT */

#include "vm/vm_internal.h"
#include "vm/refs.h"
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

/* ---- types ---- */

static size_t hash(const void *pointer, size_t places)
{
    return (size_t)(((uintptr_t)pointer * UINT64_C(0x9E3779B97F4A7C15)) >> 32) % places;
}

/* Where the type is, or belongs. A type of which a state does not know leads to a free place. */
static mqlua_known_type *know(mqlua_vm *vm, const mqlua_type *type)
{
    size_t at = hash(type, MQLUA_TYPES);
    while (vm->types[at].type && vm->types[at].type != type)
        at = (at + 1) % MQLUA_TYPES;
    return &vm->types[at];
}

/* ---- fields ---- */

/* How a state finds the fields of a type: by where it keeps their names, because it has each string once. */
enum { PLACES = 2 * MQLUA_FIELDS };
typedef struct access {
    const mqlua_type *type;
    struct {
        const char *name; /* of the state; NULL: free */
        const mqlua_field *field;
    } places[PLACES];
} access;

/* Upvalues of __index and __newindex: 1 the access, 2 a table of methods, 3 one with the names of all fields.
 */

static const mqlua_field *find_field(const access *a, const char *name)
{
    for (size_t at = hash(name, PLACES); a->places[at].name; at = (at + 1) % PLACES)
        if (a->places[at].name == name)
            return a->places[at].field;
    return NULL;
}

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

static bool is_alive(const mqlua_object *object)
{
    return !object->slot || object->slot->serial == object->serial;
}

/* The object at 1. Metatables are locked: LuaJIT alone calls __index and __newindex, with an object of the
 * type there (the debug library, where it is allowed, could call them with something else). */
static mqlua_object *self(lua_State *L, const access *a)
{
    mqlua_object *object = lua_touserdata(L, 1);
    if (!object || object->type != a->type)
        luaL_typerror(L, 1, a->type->name);
    if (!is_alive(object))
        luaL_error(L, "%s", object->type->dead);
    return object;
}

const char *mqlua_object_name(lua_State *L, int index)
{
    size_t size = 0;
    const char *name = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &size) : NULL;
    return name && strlen(name) == size ? name : "?";
}

static int l_index(lua_State *L)
{
    const access *a = lua_touserdata(L, lua_upvalueindex(1));
    mqlua_object *object = self(L, a);
    const char *key = lua_tostring(L, 2);
    const mqlua_field *field = find_field(a, key);
    if (field)
        return field->get(L, object);
    lua_rawget(L, lua_upvalueindex(2));
    return lua_isnil(L, -1) ? no_such_field(L, a->type, key ? key : "?") : 1;
}

/* Of the table of methods of a type that has no fields. Upvalue 1: the access. */
static int l_no_method(lua_State *L)
{
    const access *a = lua_touserdata(L, lua_upvalueindex(1));
    const char *key = lua_tostring(L, 2);
    return no_such_field(L, a->type, key ? key : "?");
}

static bool is_method(lua_State *L, int key)
{
    lua_pushvalue(L, key);
    lua_rawget(L, lua_upvalueindex(2));
    bool is = !lua_isnil(L, -1);
    lua_pop(L, 1);
    return is;
}

static int l_newindex(lua_State *L)
{
    const access *a = lua_touserdata(L, lua_upvalueindex(1));
    mqlua_object *object = self(L, a);
    const char *key = luaL_checkstring(L, 2);
    const mqlua_field *field = find_field(a, key);
    if (!field && !is_method(L, 2))
        return no_such_field(L, a->type, key);
    if (!field || !field->set)
        return luaL_error(L, "%s.%s cannot be assigned", a->type->name, key);
    lua_remove(L, 2);
    return field->set(L, object);
}

static int l_tostring(lua_State *L)
{
    const access *a = lua_touserdata(L, lua_upvalueindex(1));
    lua_pushfstring(L, "%s: %p", a->type->name, lua_topointer(L, 1));
    return 1;
}

/* Pushes the access and the table that keeps its names. */
static void push_fields(lua_State *L, const mqlua_type *type)
{
    access *a = lua_newuserdata(L, sizeof *a);
    *a = (access){.type = type};
    lua_newtable(L);
    int count = 0;
    for (const mqlua_field *field = type->fields; field && field->name; field++) {
        lua_pushstring(L, field->name);
        const char *name = lua_tostring(L, -1);
        lua_rawseti(L, -2, ++count);
        size_t at = hash(name, PLACES);
        while (a->places[at].name)
            at = (at + 1) % PLACES;
        a->places[at].name = name;
        a->places[at].field = field;
    }
}

static void push_methods(lua_State *L, const mqlua_type *type)
{
    lua_newtable(L);
    if (type->methods)
        luaL_register(L, NULL, type->methods);
}

/* Pushes function with its upvalues; the methods, the access and its names are at methods and behind it. */
static void push_access(lua_State *L, lua_CFunction function, int methods)
{
    lua_pushvalue(L, methods + 1);
    lua_pushvalue(L, methods);
    lua_pushvalue(L, methods + 2);
    lua_pushcclosure(L, function, 3);
}

/* A type without fields needs no function that looks them up: LuaJIT finds its methods in their table. */
static void push_index(lua_State *L, const mqlua_type *type, int methods)
{
    if (type->fields) {
        push_access(L, l_index, methods);
        return;
    }
    lua_createtable(L, 0, 2);
    push_access(L, l_no_method, methods);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, methods);
    lua_pushvalue(L, methods);
}

void mqlua_object_register(lua_State *L, const mqlua_type *type)
{
    lua_newtable(L);
    int meta = lua_gettop(L);
    push_methods(L, type);
    push_fields(L, type);
    push_index(L, type, meta + 1);
    lua_setfield(L, meta, "__index");
    push_access(L, l_newindex, meta + 1);
    lua_setfield(L, meta, "__newindex");
    push_access(L, l_tostring, meta + 1);
    lua_setfield(L, meta, "__tostring");
    lua_settop(L, meta + 1);
    lua_setfield(L, meta, "methods");
    if (type->meta)
        luaL_register(L, NULL, type->meta);
    /* Scripts must not reach metatables: a __gc written in Lua would run without limits. */
    lua_pushstring(L, type->name);
    lua_setfield(L, meta, "__metatable");
    mqlua_known_type *known = know(mqlua_vm_of(L), type);
    known->meta = mqlua_refs_add(L);
    known->type = type;
}

static void push_meta(lua_State *L, const mqlua_type *type)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, know(mqlua_vm_of(L), type)->meta);
}

void mqlua_object_push_methods(lua_State *L, const mqlua_type *type)
{
    push_meta(L, type);
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
    push_meta(L, type);
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
        *alive = is_alive(object);
    return object;
}

static bool is_known(mqlua_vm *vm, const mqlua_type *type)
{
    for (size_t i = 0; i < MQLUA_TYPES; i++)
        if (vm->types[i].type == type)
            return type != NULL;
    return false;
}

const char *mqlua_object_text(lua_State *L, int index, size_t *size)
{
    if (lua_type(L, index) != LUA_TUSERDATA || lua_objlen(L, index) < sizeof(mqlua_object))
        return NULL;
    const mqlua_object *object = lua_touserdata(L, index);
    if (!is_known(mqlua_vm_of(L), object->type) || !object->type->text || !is_alive(object))
        return NULL;
    return object->type->text(object, size);
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
