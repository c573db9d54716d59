/* SPDX-License-Identifier: MIT */

/* mq.shared: what a policy declares while it loads, and what becomes of it when the policy serves. */

#include "api/raise.h"
#include "api/shared_internal.h"
#include "mq/log.h"
#include "vm/refs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_CAPACITY = 1 << 20, MOST = 1000 };

/* One dictionary that the policy of a state declared. */
typedef struct mqlua_declared {
    LIST_ENTRY(mqlua_declared) link; /* env->declared */
    mqlua_shared *shared;
    size_t capacity;
    bool persist;
    int object; /* registry reference to what scripts have */
} mqlua_declared;

static mqlua_declared *find(const mqlua_env *env, const char *name)
{
    mqlua_declared *declared;
    LIST_FOREACH(declared, &env->declared, link)
    if (strcmp(declared->shared->name, name) == 0)
        return declared;
    return NULL;
}

/* The capacities of what the state declared. Raises where it may declare no more. */
static size_t sum(lua_State *L, const mqlua_env *env)
{
    const mqlua_declared *declared;
    size_t bytes = 0;
    int count = 0;
    LIST_FOREACH(declared, &env->declared, link)
    {
        bytes += declared->capacity < MQLUA_DICT_LEAST ? MQLUA_DICT_LEAST : declared->capacity;
        count++;
    }
    if (count >= MOST)
        luaL_error(L, "mq.shared: a policy has at most %d dictionaries", MOST);
    mqlua_vm_charge(L, 10 * (size_t)count);
    return bytes;
}

/* Bytes, or a text such as "10MB". */
static size_t check_capacity(lua_State *L, int index)
{
    static const char *const units[] = {"", "KB", "MB", "GB"};
    if (lua_isnil(L, index))
        return DEFAULT_CAPACITY;
    double bytes = -1;
    if (lua_type(L, index) == LUA_TNUMBER) {
        bytes = lua_tonumber(L, index);
    } else if (lua_type(L, index) == LUA_TSTRING) {
        const char *text = lua_tostring(L, index);
        size_t digits = strspn(text, "0123456789");
        for (int i = 0; digits && digits < 16 && i < 4; i++)
            if (strcmp(text + digits, units[i]) == 0)
                bytes = ldexp((double)strtoull(text, NULL, 10), 10 * i);
    }
    if (!(bytes >= MQLUA_DICT_LEAST && bytes <= 0x1p40))
        luaL_error(L, "mq.shared: capacity is a number of bytes or a text such as \"10MB\", at least 8KB");
    return (size_t)bytes;
}

static bool check_persist(lua_State *L, int index)
{
    if (!lua_isnil(L, index) && !lua_isboolean(L, index))
        luaL_error(L, "mq.shared: persist is true or false, not a %s", luaL_typename(L, index));
    return lua_toboolean(L, index);
}

/* The options at 2, each checked. */
static void check_options(lua_State *L, size_t *capacity, bool *persist)
{
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
        const char *name = mqlua_object_name(L, -2);
        if (strcmp(name, "capacity") != 0 && strcmp(name, "persist") != 0)
            luaL_error(L, "mq.shared: unknown option '%s'; there are capacity and persist", name);
    }
    lua_getfield(L, 2, "capacity");
    lua_getfield(L, 2, "persist");
    *capacity = check_capacity(L, lua_gettop(L) - 1);
    *persist = check_persist(L, lua_gettop(L));
}

/* The registry takes what it opened into the list of the state before anything can raise. */
static mqlua_declared *declare(lua_State *L, mqlua_env *env, const char *name, size_t capacity, bool persist)
{
    char *error = NULL, where[MQLUA_SHARED_NAME + 32];
    size_t mine = sum(L, env);
    mqlua_declared *declared = calloc(1, sizeof *declared);
    if (declared)
        declared->shared = mqlua_dicts_open(env->dicts, name, capacity, persist, mine, &error);
    if (!declared || !declared->shared) {
        free(declared);
        snprintf(where, sizeof where, "mq.shared: %s", name);
        mqlua_raise(L, where, error);
        return NULL;
    }
    declared->capacity = capacity;
    declared->persist = persist;
    declared->object = LUA_NOREF;
    LIST_INSERT_HEAD(&env->declared, declared, link);
    return declared;
}

static bool is_loading(const mqlua_env *env)
{
    return env->phase == MQLUA_LOADING || env->phase == MQLUA_CHECKING;
}

/* mq.shared(name, {capacity =, persist =}) */
static int l_shared(lua_State *L)
{
    mqlua_env *env = mqlua_env_of(L);
    size_t size, capacity = DEFAULT_CAPACITY;
    bool persist = false, options = !lua_isnoneornil(L, 2);
    const char *name = luaL_checklstring(L, 1, &size);
    lua_settop(L, 2);
    if (!mqlua_dicts_is_name(name, size))
        return luaL_error(L, "mq.shared: a name has letters, digits, '_', '-' and '.', at most %d",
                          MQLUA_SHARED_NAME);
    if (options) {
        luaL_checktype(L, 2, LUA_TTABLE);
        check_options(L, &capacity, &persist);
    }
    mqlua_declared *declared = find(env, name);
    if (declared && options && (declared->capacity != capacity || declared->persist != persist))
        return luaL_error(L, "mq.shared: '%s' is declared twice, with other options", name);
    if (!declared && !is_loading(env))
        return luaL_error(L,
                          "mq.shared: '%s' was not declared while the policy loaded: say mq.shared(\"%s\") "
                          "at the top level",
                          name, name);
    if (!declared)
        declared = declare(L, env, name, capacity, persist);
    if (declared->object == LUA_NOREF) {
        mqlua_shared_handle *self = mqlua_object_push(L, &mqlua_shared_type, sizeof *self, NULL);
        self->shared = declared->shared;
        self->dict = declared->shared->dict;
        self->slot = (unsigned)env->worker_number;
        declared->object = mqlua_refs_add(L);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, declared->object);
    return 1;
}

void mqlua_shared_settle(mqlua_env *env)
{
    mqlua_declared *declared;
    LIST_FOREACH(declared, &env->declared, link)
    {
        char *error = NULL;
        if (!mqlua_dicts_settle(env->dicts, declared->shared, declared->capacity, declared->persist, &error))
            mqlua_log(env->symbols, MQLUA_LOG_CRIT,
                      "mailerq-lua: the shared dictionary %s keeps its capacity of %zu bytes: %s",
                      declared->shared->name, declared->shared->capacity,
                      error ? error : "not enough memory");
        free(error);
    }
}

void mqlua_shared_close(mqlua_env *env)
{
    for (mqlua_declared *declared; (declared = LIST_FIRST(&env->declared));) {
        LIST_REMOVE(declared, link);
        mqlua_dicts_close(env->dicts, declared->shared);
        free(declared);
    }
}

void mqlua_shared_open(lua_State *L)
{
    mqlua_object_register(L, &mqlua_shared_type);
    lua_pushcfunction(L, l_shared);
    lua_setfield(L, -2, "shared");
}
