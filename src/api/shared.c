/* SPDX-License-Identifier: MIT */

#include "api/shared_internal.h"
#include "vm/stack.h"

#include <stdlib.h>
#include <string.h>

enum {
    KEYS = 1024, /* that keys() returns when it is not told */
    TRIES = 100, /* of update() */
};

typedef mqlua_shared_handle handle;

mqlua_shared *mqlua_shared_check(lua_State *L)
{
    handle *self = mqlua_object_check(L, 1, &mqlua_shared_type);
    return self->shared;
}

/* ---- values ---- */

static int get(lua_State *L, bool stale)
{
    handle *self = mqlua_object_check(L, 1, &mqlua_shared_type);
    const char *key, *why;
    size_t size;
    mqlua_dict_found found;
    if (!mqlua_shared_key(L, &key, &size, &why))
        return mqlua_shared_fail(L, why);
    mqlua_dict_status status =
        mqlua_dict_get(self->dict, key, size, stale, self->slot, &self->scratch, &found);
    if (status == MQLUA_DICT_ABSENT) {
        lua_pushnil(L);
        return 1;
    }
    if (status != MQLUA_DICT_OK)
        return mqlua_shared_fail(L, mqlua_shared_why(status));
    mqlua_shared_push_value(L, self, &found.value);
    if (found.flags)
        lua_pushnumber(L, found.flags);
    else if (stale)
        lua_pushnil(L);
    if (stale)
        lua_pushboolean(L, found.stale);
    return stale ? 3 : found.flags ? 2 : 1;
}

static int l_get(lua_State *L)
{
    return get(L, false);
}

static int l_get_stale(lua_State *L)
{
    return get(L, true);
}

static int store(lua_State *L, mqlua_dict_mode mode, bool safe)
{
    handle *self = mqlua_object_check(L, 1, &mqlua_shared_type);
    const char *key, *why;
    size_t size;
    mqlua_dict_value value;
    bool forced = false;
    if (!mqlua_shared_key(L, &key, &size, &why))
        return mqlua_shared_fail(L, why);
    if (!mqlua_shared_check_value(L, 3, &value))
        return mqlua_shared_fail(L, "bad value type");
    mqlua_dict_options options = {.mode = mode, .ttl = mqlua_shared_check_ttl(L, 4, "exptime"), .safe = safe};
    double flags = luaL_optnumber(L, 5, 0);
    if (!(flags >= 0 && flags <= UINT32_MAX))
        return luaL_error(L, "bad \"flags\" argument: an integer from 0 to 4294967295");
    options.flags = (uint32_t)flags;
    mqlua_dict_status status = MQLUA_DICT_OK;
    if (value.type != MQLUA_DICT_NONE)
        status = mqlua_dict_store(self->dict, key, size, &value, &options, &forced);
    else if (mode == MQLUA_DICT_SET)
        mqlua_dict_delete(self->dict, key, size);
    else
        return mqlua_shared_fail(L, "attempt to add or replace nil values");
    lua_pushboolean(L, status == MQLUA_DICT_OK);
    if (status == MQLUA_DICT_OK)
        lua_pushnil(L);
    else
        lua_pushstring(L, mqlua_shared_why(status));
    lua_pushboolean(L, forced);
    return 3;
}

static int l_set(lua_State *L)
{
    return store(L, MQLUA_DICT_SET, false);
}

static int l_safe_set(lua_State *L)
{
    return store(L, MQLUA_DICT_SET, true);
}

static int l_add(lua_State *L)
{
    return store(L, MQLUA_DICT_ADD, false);
}

static int l_safe_add(lua_State *L)
{
    return store(L, MQLUA_DICT_ADD, true);
}

static int l_replace(lua_State *L)
{
    return store(L, MQLUA_DICT_REPLACE, false);
}

static int l_delete(lua_State *L)
{
    lua_settop(L, 2);
    return store(L, MQLUA_DICT_SET, false);
}

static void check_number(lua_State *L, int index, mqlua_dict_value *value)
{
    if (!mqlua_shared_check_value(L, index, value) ||
        (value->type != MQLUA_DICT_NUMBER && value->type != MQLUA_DICT_INTEGER))
        *value = (mqlua_dict_value){.type = MQLUA_DICT_NUMBER, .number = luaL_checknumber(L, index)};
}

static int l_incr(lua_State *L)
{
    handle *self = mqlua_object_check(L, 1, &mqlua_shared_type);
    const char *key, *why;
    size_t size;
    mqlua_dict_value step, init, result;
    bool forced = false, with_init = !lua_isnoneornil(L, 4);
    if (!mqlua_shared_key(L, &key, &size, &why))
        return mqlua_shared_fail(L, why);
    check_number(L, 3, &step);
    if (with_init)
        check_number(L, 4, &init);
    else if (!lua_isnoneornil(L, 5))
        return luaL_error(L, "must provide \"init\" when providing \"init_ttl\"");
    uint64_t ttl = mqlua_shared_check_ttl(L, 5, "init_ttl");
    mqlua_dict_status status =
        mqlua_dict_incr(self->dict, key, size, &step, with_init ? &init : NULL, ttl, NULL, &result, &forced);
    if (status == MQLUA_DICT_OK) {
        mqlua_shared_push_value(L, self, &result);
        lua_pushnil(L);
    } else {
        mqlua_shared_fail(L, mqlua_shared_why(status));
    }
    if (with_init)
        lua_pushboolean(L, forced);
    else
        lua_pushnil(L);
    return 3;
}

static int l_ttl(lua_State *L)
{
    handle *self = mqlua_object_check(L, 1, &mqlua_shared_type);
    const char *key, *why;
    size_t size;
    uint64_t ttl;
    if (!mqlua_shared_key(L, &key, &size, &why))
        return mqlua_shared_fail(L, why);
    mqlua_dict_status status = mqlua_dict_ttl(self->dict, key, size, &ttl);
    if (status != MQLUA_DICT_OK)
        return mqlua_shared_fail(L, mqlua_shared_why(status));
    lua_pushnumber(L, (double)ttl / 1000);
    return 1;
}

static int l_expire(lua_State *L)
{
    handle *self = mqlua_object_check(L, 1, &mqlua_shared_type);
    const char *key, *why;
    size_t size;
    if (!mqlua_shared_key(L, &key, &size, &why))
        return mqlua_shared_fail(L, why);
    luaL_checknumber(L, 3);
    mqlua_dict_status status =
        mqlua_dict_expire(self->dict, key, size, mqlua_shared_check_ttl(L, 3, "exptime"));
    if (status != MQLUA_DICT_OK)
        return mqlua_shared_fail(L, mqlua_shared_why(status));
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- update ---- */

/* What is there now as the expected value, and on the stack. A text is kept alive by the stack. */
static mqlua_dict_status look(lua_State *L, handle *self, const char *key, size_t size,
                              mqlua_dict_value *expected)
{
    mqlua_dict_found found;
    mqlua_dict_status status =
        mqlua_dict_get(self->dict, key, size, false, self->slot, &self->scratch, &found);
    *expected = (mqlua_dict_value){.type = MQLUA_DICT_NONE};
    if (status == MQLUA_DICT_ABSENT) {
        lua_pushnil(L);
        return MQLUA_DICT_OK;
    }
    if (status != MQLUA_DICT_OK)
        return status;
    *expected = found.value;
    mqlua_shared_push_value(L, self, &found.value);
    if (expected->type == MQLUA_DICT_TEXT)
        expected->text = lua_tostring(L, -1);
    return status;
}

/* update(key, fn, exptime, flags): fn(value) returns the new value, nil to delete it. */
static int l_update(lua_State *L)
{
    handle *self = mqlua_object_check(L, 1, &mqlua_shared_type);
    const char *key, *why;
    size_t size;
    luaL_checktype(L, 3, LUA_TFUNCTION);
    mqlua_stack_check(L);
    if (!mqlua_shared_key(L, &key, &size, &why))
        return mqlua_shared_fail(L, why);
    mqlua_dict_options options = {.ttl = mqlua_shared_check_ttl(L, 4, "exptime")};
    lua_settop(L, 5);
    for (int i = 0; i < TRIES; i++) {
        mqlua_dict_value expected, value;
        mqlua_vm_charge(L, 50);
        lua_settop(L, 5);
        mqlua_dict_status status = look(L, self, key, size, &expected);
        if (status != MQLUA_DICT_OK)
            return mqlua_shared_fail(L, mqlua_shared_why(status));
        lua_pushvalue(L, 3);
        lua_pushvalue(L, 6);
        lua_call(L, 1, 1);
        if (!mqlua_shared_check_value(L, 7, &value))
            return mqlua_shared_fail(L, "bad value type");
        status = mqlua_dict_swap(self->dict, key, size, &expected, &value, &options);
        if (status == MQLUA_DICT_OK)
            return 1;
        if (status != MQLUA_DICT_CHANGED)
            return mqlua_shared_fail(L, mqlua_shared_why(status));
    }
    return mqlua_shared_fail(L, "busy");
}

/* ---- lists ---- */

static int push(lua_State *L, bool left)
{
    handle *self = mqlua_object_check(L, 1, &mqlua_shared_type);
    const char *key, *why;
    size_t size, length;
    mqlua_dict_value value;
    if (!mqlua_shared_key(L, &key, &size, &why))
        return mqlua_shared_fail(L, why);
    if (!mqlua_shared_check_value(L, 3, &value) || value.type == MQLUA_DICT_NONE ||
        value.type == MQLUA_DICT_BOOLEAN)
        return mqlua_shared_fail(L, "bad value type");
    mqlua_dict_status status = mqlua_dict_push(self->dict, key, size, left, &value, &length);
    if (status != MQLUA_DICT_OK)
        return mqlua_shared_fail(L, mqlua_shared_why(status));
    lua_pushnumber(L, (lua_Number)length);
    return 1;
}

static int l_lpush(lua_State *L)
{
    return push(L, true);
}

static int l_rpush(lua_State *L)
{
    return push(L, false);
}

static int pop(lua_State *L, bool left)
{
    handle *self = mqlua_object_check(L, 1, &mqlua_shared_type);
    const char *key, *why;
    size_t size;
    mqlua_dict_value value;
    if (!mqlua_shared_key(L, &key, &size, &why))
        return mqlua_shared_fail(L, why);
    mqlua_dict_status status = mqlua_dict_pop(self->dict, key, size, left, &self->scratch, &value);
    if (status == MQLUA_DICT_ABSENT) {
        lua_pushnil(L);
        return 1;
    }
    if (status != MQLUA_DICT_OK)
        return mqlua_shared_fail(L, mqlua_shared_why(status));
    mqlua_shared_push_value(L, self, &value);
    return 1;
}

static int l_lpop(lua_State *L)
{
    return pop(L, true);
}

static int l_rpop(lua_State *L)
{
    return pop(L, false);
}

static int l_llen(lua_State *L)
{
    handle *self = mqlua_object_check(L, 1, &mqlua_shared_type);
    const char *key, *why;
    size_t size, length;
    if (!mqlua_shared_key(L, &key, &size, &why))
        return mqlua_shared_fail(L, why);
    mqlua_dict_status status = mqlua_dict_length(self->dict, key, size, &length);
    if (status != MQLUA_DICT_OK)
        return mqlua_shared_fail(L, mqlua_shared_why(status));
    lua_pushnumber(L, (lua_Number)length);
    return 1;
}

/* ---- all of it ---- */

static size_t check_most(lua_State *L, int index, size_t fallback)
{
    double most = luaL_optnumber(L, index, (lua_Number)fallback);
    if (!(most >= 0 && most <= UINT32_MAX))
        luaL_argerror(L, index, "a number of entries, 0 (all) or more");
    return (size_t)most;
}

typedef struct packed {
    char *keys;
} packed;

static int l_free_packed(lua_State *L)
{
    packed *p = lua_touserdata(L, 1);
    free(p->keys);
    p->keys = NULL;
    return 0;
}

/* The keys belong to a userdata before anything can raise. */
static int l_keys(lua_State *L)
{
    handle *self = mqlua_object_check(L, 1, &mqlua_shared_type);
    size_t most = check_most(L, 2, KEYS), count = 0, size;
    mqlua_dict_stats stats;
    mqlua_dict_get_stats(self->dict, &stats);
    mqlua_vm_charge(L, 20 * (most && most < stats.entries ? most : stats.entries));
    packed *p = lua_newuserdata(L, sizeof *p);
    p->keys = NULL;
    lua_newtable(L);
    lua_pushcfunction(L, l_free_packed);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    if (!mqlua_dict_keys(self->dict, most, &p->keys, &count))
        return luaL_error(L, "not enough memory");
    lua_createtable(L, (int)count, 0);
    const char *at = p->keys;
    for (size_t i = 0; i < count; i++) {
        memcpy(&size, at, sizeof size);
        lua_pushlstring(L, at + sizeof size, size);
        lua_rawseti(L, -2, (int)i + 1);
        at += sizeof size + size;
    }
    free(p->keys);
    p->keys = NULL;
    return 1;
}

static void charge_all(lua_State *L, handle *self)
{
    mqlua_dict_stats stats;
    mqlua_dict_get_stats(self->dict, &stats);
    mqlua_vm_charge(L, 20 * stats.entries);
}

static int l_flush_all(lua_State *L)
{
    handle *self = mqlua_object_check(L, 1, &mqlua_shared_type);
    charge_all(L, self);
    mqlua_dict_flush(self->dict);
    return 0;
}

static int l_flush_expired(lua_State *L)
{
    handle *self = mqlua_object_check(L, 1, &mqlua_shared_type);
    charge_all(L, self);
    lua_pushnumber(L, (lua_Number)mqlua_dict_sweep(self->dict, check_most(L, 2, 0)));
    return 1;
}

static int l_capacity(lua_State *L)
{
    handle *self = mqlua_object_check(L, 1, &mqlua_shared_type);
    mqlua_dict_stats stats;
    mqlua_dict_get_stats(self->dict, &stats);
    lua_pushnumber(L, (lua_Number)stats.capacity);
    return 1;
}

static int l_free_space(lua_State *L)
{
    handle *self = mqlua_object_check(L, 1, &mqlua_shared_type);
    mqlua_dict_stats stats;
    mqlua_dict_get_stats(self->dict, &stats);
    lua_pushnumber(L, (lua_Number)(stats.used < stats.capacity ? stats.capacity - stats.used : 0));
    return 1;
}

static int l_gc(lua_State *L)
{
    handle *self = mqlua_object_test(L, 1, &mqlua_shared_type, NULL);
    if (self)
        mqlua_dict_scratch_free(&self->scratch);
    return 0;
}

static const luaL_Reg methods[] = {
    {"get", l_get},
    {"get_stale", l_get_stale},
    {"set", l_set},
    {"safe_set", l_safe_set},
    {"add", l_add},
    {"safe_add", l_safe_add},
    {"replace", l_replace},
    {"delete", l_delete},
    {"incr", l_incr},
    {"ttl", l_ttl},
    {"expire", l_expire},
    {"update", l_update},
    {"lpush", l_lpush},
    {"rpush", l_rpush},
    {"lpop", l_lpop},
    {"rpop", l_rpop},
    {"llen", l_llen},
    {"keys", l_keys},
    {"get_keys", l_keys},
    {"flush_all", l_flush_all},
    {"flush_expired", l_flush_expired},
    {"capacity", l_capacity},
    {"free_space", l_free_space},
    {NULL, NULL},
};
static const luaL_Reg meta[] = {{"__gc", l_gc}, {NULL, NULL}};
const mqlua_type mqlua_shared_type = {.name = "shared", .methods = methods, .meta = meta};
