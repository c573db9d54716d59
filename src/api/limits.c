/* SPDX-License-Identifier: MIT */

#include "api/limits.h"
#include "api/connection.h"
#include "api/raise.h"
#include "api/shared.h"
#include "base/zone.h"
#include "vm/object.h"

#include <math.h>

/* true, value; false, value; or nil, why. */
static int answer(lua_State *L, mqlua_dict_status status, double value)
{
    if (status != MQLUA_DICT_OK && status != MQLUA_DICT_TOO_MUCH) {
        lua_pushnil(L);
        lua_pushstring(L, status == MQLUA_DICT_NO_MEMORY ? "no memory" : "not a number");
        return 2;
    }
    lua_pushboolean(L, status == MQLUA_DICT_OK);
    lua_pushnumber(L, value);
    return 2;
}

static int no_key(lua_State *L, const char *why)
{
    lua_pushnil(L);
    lua_pushstring(L, why);
    return 2;
}

/* rate(dictionary, key, now, interval, burst, count): true and how many are left; false and the seconds to
 * wait; nil, why. */
static int l_rate(lua_State *L)
{
    mqlua_shared *shared = mqlua_shared_check(L);
    const char *key, *why;
    size_t size;
    double value;
    if (!mqlua_shared_key(L, &key, &size, &why))
        return no_key(L, why);
    mqlua_dict_status status =
        mqlua_dict_take_rate(shared->dict, key, size, luaL_checknumber(L, 3), luaL_checknumber(L, 4),
                             luaL_checknumber(L, 5), luaL_checknumber(L, 6), &value);
    return answer(L, status, value);
}

/* sum(dictionary, key, count, limit, ttl): true, or false where the sum would be above the limit, and the
 * sum; nil, why. */
static int l_sum(lua_State *L)
{
    static const mqlua_dict_value none = {.type = MQLUA_DICT_NUMBER, .number = 0};
    mqlua_shared *shared = mqlua_shared_check(L);
    const char *key, *why;
    size_t size;
    if (!mqlua_shared_key(L, &key, &size, &why))
        return no_key(L, why);
    mqlua_dict_value count = {.type = MQLUA_DICT_NUMBER, .number = luaL_checknumber(L, 3)};
    mqlua_dict_value limit = {.type = MQLUA_DICT_NUMBER, .number = luaL_checknumber(L, 4)}, result = none;
    double seconds = fmax(luaL_checknumber(L, 5), 0.001);
    mqlua_dict_status status = mqlua_dict_incr(shared->dict, key, size, &count, &none,
                                               (uint64_t)ceil(seconds * 1000), &limit, &result, NULL);
    return answer(L, status, result.type == MQLUA_DICT_INTEGER ? (double)result.integer : result.number);
}

/* enter(dictionary, key, connection, limit): true, or false where it is full, and how many there are; nil,
 * why. */
static int l_enter(lua_State *L)
{
    mqlua_shared *shared = mqlua_shared_check(L);
    const char *key, *why;
    size_t size;
    double count = 0;
    mqlua_connection *connection = mqlua_connection_check(L, 3, "enter");
    if (!mqlua_shared_key(L, &key, &size, &why))
        return no_key(L, why);
    mqlua_dict_status status = mqlua_lease_take(&connection->leases, mqlua_env_of(L)->dicts, shared, key,
                                                size, luaL_checknumber(L, 4), &count);
    return answer(L, status, count);
}

/* leave(dictionary, key, connection): whether there was something to give back. */
static int l_leave(lua_State *L)
{
    mqlua_shared *shared = mqlua_shared_check(L);
    const char *key, *why;
    size_t size;
    mqlua_connection *connection = mqlua_connection_check(L, 3, "leave");
    bool had =
        mqlua_shared_key(L, &key, &size, &why) && mqlua_lease_give(&connection->leases, shared, key, size);
    lua_pushboolean(L, had);
    return 1;
}

/* ---- time zones ---- */

typedef struct zone_object {
    mqlua_object object;
    mqlua_zone *zone;
} zone_object;

static int l_zone_gc(lua_State *L);
static const luaL_Reg zone_meta[] = {{"__gc", l_zone_gc}, {NULL, NULL}};
static const mqlua_type zone_type = {.name = "zone", .meta = zone_meta};

static int l_zone_gc(lua_State *L)
{
    zone_object *self = mqlua_object_test(L, 1, &zone_type, NULL);
    if (self) {
        mqlua_zone_free(self->zone);
        self->zone = NULL;
    }
    return 0;
}

/* zone(name): raises where there is none. */
static int l_zone(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    char *error = NULL;
    zone_object *self = mqlua_object_push(L, &zone_type, sizeof *self, NULL);
    self->zone = mqlua_zone_load(name, &error);
    return self->zone ? 1 : mqlua_raise(L, "zone", error);
}

/* offset(zone, time): seconds east of UTC. */
static int l_offset(lua_State *L)
{
    zone_object *self = mqlua_object_check(L, 1, &zone_type);
    double time = luaL_checknumber(L, 2);
    lua_pushnumber(L,
                   self->zone && fabs(time) < 1e15 ? mqlua_zone_offset(self->zone, (int64_t)floor(time)) : 0);
    return 1;
}

void mqlua_limits_push(lua_State *L)
{
    static const luaL_Reg functions[] = {{"rate", l_rate},   {"sum", l_sum},   {"enter", l_enter},
                                         {"leave", l_leave}, {"zone", l_zone}, {"offset", l_offset},
                                         {NULL, NULL}};
    mqlua_object_register(L, &zone_type);
    lua_newtable(L);
    luaL_register(L, NULL, functions);
}
