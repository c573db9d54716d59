/* SPDX-License-Identifier: MIT */

/* mq.file, mq.set, mq.map: data files as Lua sees them. The tables belong to the bundle, which outlives the
 * vm. And mq.json.decode, as far as it names the data file that is wrong. */

#include "api/data.h"
#include "api/address.h"
#include "api/env.h"
#include "api/raise.h"
#include "base/lookup.h"
#include "base/mark.h"
#include "json/text.h"
#include "vm/bytes.h"
#include "vm/object.h"
#include "vm/stack.h"

#include <string.h>

typedef struct table {
    mqlua_object object;
    const mqlua_lookup *lookup;
} table;

static const mqlua_type set_type, map_type;

static table *check(lua_State *L)
{
    table *self = mqlua_object_test(L, 1, &set_type, NULL);
    return self ? self : mqlua_object_check(L, 1, &map_type);
}

/* The key at 2. NULL for nil: a field without value (the login of a client without one) is in no table. */
static const char *check_key(lua_State *L, size_t *size)
{
    luaL_checkany(L, 2);
    return lua_isnil(L, 2) ? NULL : luaL_checklstring(L, 2, size);
}

/* The e-mail address at 2: text, or an object with the field email, which is nil for the null sender. */
static const char *check_address(lua_State *L, size_t *size)
{
    const char *email;
    luaL_checkany(L, 2);
    if (mqlua_address_get(L, 2, &email, size))
        return email;
    if (lua_isuserdata(L, 2)) {
        mqlua_stack_check(L); /* __index */
        lua_getfield(L, 2, "email");
        lua_replace(L, 2);
    }
    return check_key(L, size);
}

static int l_get(lua_State *L)
{
    const table *self = mqlua_object_check(L, 1, &map_type);
    size_t size, value_size;
    const char *value, *key = check_key(L, &size);
    if (key && mqlua_lookup_get(self->lookup, key, size, &value, &value_size))
        lua_pushlstring(L, value, value_size);
    else
        lua_pushnil(L);
    return 1;
}

static int l_contains(lua_State *L)
{
    const table *self = check(L);
    size_t size;
    const char *key = check_key(L, &size);
    lua_pushboolean(L, key && mqlua_lookup_get(self->lookup, key, size, NULL, NULL));
    return 1;
}

/* map:lookup(address): the value or nil. */
static int l_lookup(lua_State *L)
{
    const table *self = mqlua_object_check(L, 1, &map_type);
    size_t size, value_size;
    const char *value, *address = check_address(L, &size);
    if (address && mqlua_lookup_address(self->lookup, address, size, &value, &value_size))
        lua_pushlstring(L, value, value_size);
    else
        lua_pushnil(L);
    return 1;
}

/* set:lookup(address): true or false. */
static int l_lookup_set(lua_State *L)
{
    const table *self = mqlua_object_check(L, 1, &set_type);
    size_t size;
    const char *address = check_address(L, &size);
    lua_pushboolean(L, address && mqlua_lookup_address(self->lookup, address, size, NULL, NULL));
    return 1;
}

static int l_len(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)mqlua_lookup_count(check(L)->lookup));
    return 1;
}

static const luaL_Reg set_methods[] = {{"contains", l_contains}, {"lookup", l_lookup_set}, {NULL, NULL}};
static const luaL_Reg map_methods[] = {
    {"get", l_get}, {"contains", l_contains}, {"lookup", l_lookup}, {NULL, NULL}};
static const luaL_Reg meta[] = {{"__len", l_len}, {NULL, NULL}};

static const mqlua_type set_type = {.name = "set", .methods = set_methods, .meta = meta};
static const mqlua_type map_type = {.name = "map", .methods = map_methods, .meta = meta};

static mqlua_file *find_file(lua_State *L, const char *function, mqlua_file_kind kind)
{
    size_t size;
    const char *path = luaL_checklstring(L, 1, &size);
    luaL_argcheck(L, size && strlen(path) == size, 1, "a path");
    mqlua_bundle *bundle = mqlua_env_of(L)->bundle;
    char *error = NULL;
    mqlua_file *file = bundle ? mqlua_bundle_file(bundle, path, kind, &error) : NULL;
    if (!bundle)
        luaL_error(L, "%s: there is no policy here that could name files", function);
    if (!file)
        mqlua_raise(L, function, error);
    return file;
}

static int l_file(lua_State *L)
{
    const mqlua_file *file = find_file(L, "mq.file", MQLUA_FILE_TEXT);
    size_t mark = mqlua_mark_size(file->text, file->size);
    lua_pushlstring(L, file->text + mark, file->size - mark);
    return 1;
}

const char *mqlua_data_name(lua_State *L, const char *text, size_t size)
{
    const mqlua_bundle *bundle = mqlua_env_of(L)->bundle;
    for (const mqlua_file *file = bundle ? mqlua_bundle_files(bundle) : NULL; file; file = file->next) {
        size_t mark = mqlua_mark_size(file->text, file->size);
        if (file->kind != MQLUA_FILE_TEXT || file->size - mark != size)
            continue;
        mqlua_vm_charge(L, size / 16);
        if (memcmp(file->text + mark, text, size) == 0)
            return file->name;
    }
    return NULL;
}

/* While the policy loads, a policy that goes on with the nil fails somewhere else: what was wrong is told
 * with that. */
static void keep_wrong(mqlua_env *env, const char *wrong)
{
    if (env->phase != MQLUA_LOADING && env->phase != MQLUA_CHECKING)
        return;
    free(env->data_wrong);
    env->data_wrong = strdup(wrong);
}

/* mq.json.decode(text): where text is a data file's, the message begins with its name. */
static int l_decode(lua_State *L)
{
    int count = mqlua_text_l_decode(L);
    if (count != 2)
        return count;
    size_t size;
    const char *text = mqlua_bytes_check(L, 1, &size), *name = mqlua_data_name(L, text, size);
    if (name) {
        lua_pushfstring(L, "%s: %s", name, lua_tostring(L, -1));
        lua_remove(L, -2);
        keep_wrong(mqlua_env_of(L), lua_tostring(L, -1));
    }
    return 2;
}

static void free_lookup(void *parsed)
{
    mqlua_lookup_free(parsed);
}

static void *parse_file(const mqlua_file *file, void (**free_parsed)(void *), char **error)
{
    *free_parsed = free_lookup;
    return mqlua_lookup_parse(file->text, file->size, file->name, file->kind == MQLUA_FILE_MAP, error);
}

static int push_table(lua_State *L, const char *function, mqlua_file_kind kind, const mqlua_type *type)
{
    mqlua_file *file = find_file(L, function, kind);
    table *self = mqlua_object_push(L, type, sizeof *self, NULL);
    char *error = NULL;
    self->lookup = mqlua_bundle_parsed(mqlua_env_of(L)->bundle, file, parse_file, &error);
    return self->lookup ? 1 : mqlua_raise(L, function, error);
}

static int l_set(lua_State *L)
{
    return push_table(L, "mq.set", MQLUA_FILE_SET, &set_type);
}

static int l_map(lua_State *L)
{
    return push_table(L, "mq.map", MQLUA_FILE_MAP, &map_type);
}

void mqlua_data_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"file", l_file}, {"set", l_set}, {"map", l_map}, {NULL, NULL}};
    mqlua_object_register(L, &set_type);
    mqlua_object_register(L, &map_type);
    for (const luaL_Reg *f = functions; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }
    lua_getfield(L, -1, "json");
    if (lua_istable(L, -1)) {
        lua_pushcfunction(L, l_decode);
        lua_setfield(L, -2, "decode");
    }
    lua_pop(L, 1);
}
