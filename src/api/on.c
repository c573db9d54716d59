/* SPDX-License-Identifier: MIT */

#include "api/on.h"
#include "api/verdict.h"
#include "vm/refs.h"
#include "vm/stack.h"
#include "vm/explain.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

mqlua_registry *mqlua_registry_new(const mqlua_settings *settings)
{
    mqlua_registry *registry = calloc(1, sizeof *registry);
    if (!registry)
        return NULL;
    registry->deadline_in = settings->deadline_in;
    registry->deadline_out = settings->deadline_out;
    for (int i = 0; i < MQLUA_EVENTS; i++)
        registry->on_error[i] = LUA_NOREF;
    return registry;
}

void mqlua_registry_free(mqlua_registry *registry)
{
    for (int i = 0; registry && i <= MQLUA_EVENTS; i++)
        free(registry->events[i].list);
    free(registry);
}

static mqlua_registry *open_registry(lua_State *L, const char *function)
{
    mqlua_env *env = mqlua_env_of(L);
    if (env->phase >= MQLUA_PREPARED)
        luaL_error(L, "%s is for loading only: call it at the top level of the policy", function);
    return env->registry;
}

static mqlua_event check_event(lua_State *L, int index, bool with_reload)
{
    luaL_checkstring(L, index);
    const char *name = mqlua_object_name(L, index);
    mqlua_event event = mqlua_event_find(name);
    if (event < MQLUA_EVENTS || (event == MQLUA_RELOAD && with_reload))
        return event;
    const char *near = mqlua_object_nearest(name, mqlua_event_names, sizeof(char *));
    if (near)
        luaL_error(L, "there is no event '%s' (did you mean '%s'?)", name, near);
    luaL_error(L, "there is no event '%s'", name);
    return event;
}

/* ---- options ---- */

/* Raises for a key of the table at index that is not in names. */
static void check_keys(lua_State *L, int index, const char *what, const char *const *names)
{
    mqlua_stack_check(L); /* __index, when the options are read */
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? mqlua_object_name(L, -2) : NULL;
        int i = 0;
        while (key && names[i] && strcmp(names[i], key) != 0)
            i++;
        if (key && names[i])
            continue;
        const char *near = key ? mqlua_object_nearest(key, names, sizeof *names) : NULL;
        if (near)
            luaL_error(L, "%s has no option '%s' (did you mean '%s'?)", what, key, near);
        luaL_error(L, "%s has no option '%s'", what, key ? key : luaL_typename(L, -2));
    }
}

static double check_seconds(lua_State *L, int table, const char *key, double fallback)
{
    lua_getfield(L, table, key);
    double seconds = lua_isnil(L, -1) ? fallback : lua_tonumber(L, -1);
    bool good = lua_isnil(L, -1) || (lua_type(L, -1) == LUA_TNUMBER && seconds > 0 && seconds <= 3600);
    lua_pop(L, 1);
    if (!good)
        luaL_error(L, "'%s' must be a number of seconds from above 0 to 3600", key);
    return seconds;
}

/* A verdict that may be returned at event, or a function of the error. Pops the value; LUA_NOREF for nil. */
static int take_on_error(lua_State *L, mqlua_event event)
{
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        return LUA_NOREF;
    }
    mqlua_verdict *verdict = mqlua_object_test(L, -1, &mqlua_verdict_type, NULL);
    if (!verdict && !lua_isfunction(L, -1))
        luaL_error(L, "on_error must be a verdict or a function that returns one, got a %s",
                   luaL_typename(L, -1));
    char buffer[400];
    const char *misplaced = verdict ? mqlua_verdict_misplaced(verdict->kind, event, mqlua_env_of(L)->settings,
                                                              buffer, sizeof buffer)
                                    : NULL;
    if (misplaced)
        luaL_error(L, "on_error: %s", misplaced);
    return mqlua_refs_add(L);
}

/* ---- mq.on ---- */

static void name_handler(lua_State *L, mqlua_handler *handler)
{
    lua_Debug ar;
    lua_pushvalue(L, 2);
    lua_getinfo(L, ">S", &ar);
    snprintf(handler->name, sizeof handler->name, "%s:%d", ar.short_src, ar.linedefined);
}

static void check_unique(lua_State *L, const mqlua_handlers *handlers, const char *name, mqlua_event event)
{
    for (int i = 0; i < handlers->count; i++)
        if (strcmp(handlers->list[i].name, name) == 0)
            luaL_error(L, "there is already a handler named '%s' for %s", name, mqlua_event_names[event]);
}

static void read_options(lua_State *L, mqlua_handler *handler, mqlua_event event,
                         const mqlua_handlers *handlers)
{
    static const char *const names[] = {"name", "timeout", "on_error", "chunks", NULL};
    luaL_checktype(L, 3, LUA_TTABLE);
    check_keys(L, 3, "mq.on", names);
    lua_getfield(L, 3, "name");
    if (!lua_isnil(L, -1)) {
        if (lua_type(L, -1) != LUA_TSTRING || lua_objlen(L, -1) == 0 ||
            lua_objlen(L, -1) >= sizeof handler->name)
            luaL_error(L, "'name' must be a string of 1 to %d bytes", (int)sizeof handler->name - 1);
        snprintf(handler->name, sizeof handler->name, "%s", mqlua_explain_line(L, -1));
        check_unique(L, handlers, handler->name, event);
    }
    lua_getfield(L, 3, "chunks");
    handler->chunks = lua_toboolean(L, -1);
    if (handler->chunks && event != MQLUA_IN_DATA)
        luaL_error(L, "'chunks' is for smtp_in_data only");
    lua_pop(L, 2);
    handler->timeout = check_seconds(L, 3, "timeout", 0);
    lua_getfield(L, 3, "on_error");
    handler->on_error = take_on_error(L, event);
}

static int l_on(lua_State *L)
{
    mqlua_registry *registry = open_registry(L, "mq.on");
    mqlua_event event = check_event(L, 1, true);
    if (!lua_isfunction(L, 2))
        return luaL_error(L, "the handler of %s must be a function, got %s", mqlua_event_names[event],
                          lua_isnone(L, 2) ? "nothing" : luaL_typename(L, 2));
    mqlua_handlers *handlers = &registry->events[event];
    mqlua_handler handler = {.on_error = LUA_NOREF};
    name_handler(L, &handler);
    if (!lua_isnoneornil(L, 3))
        read_options(L, &handler, event, handlers);
    if (event == MQLUA_IN_DATA && !handler.chunks)
        return luaL_error(L,
                          "smtp_in_data gets the whole message, a piece or nothing, depending on the host: "
                          "register it with {chunks = true}, or use smtp_in_message");
    lua_settop(L, 2);
    handler.function = mqlua_refs_add(L);
    mqlua_handler *list = realloc(handlers->list, (size_t)(handlers->count + 1) * sizeof *list);
    if (!list)
        return luaL_error(L, "not enough memory");
    handlers->list = list;
    list[handlers->count++] = handler;
    if (event < MQLUA_EVENTS)
        registry->wanted |= MQLUA_BIT(event);
    return 0;
}

/* ---- mq.configure ---- */

static void configure_on_error(lua_State *L, mqlua_registry *registry)
{
    lua_getfield(L, 1, "on_error");
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        return;
    }
    if (!lua_istable(L, -1))
        luaL_error(L, "'on_error' must be a table: event name = verdict or function");
    int table = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, table);) {
        mqlua_event event = check_event(L, lua_gettop(L) - 1, false);
        registry->on_error[event] = take_on_error(L, event);
    }
    lua_pop(L, 1);
}

static void configure_deadline(lua_State *L, mqlua_registry *registry)
{
    static const char *const names[] = {"incoming", "outgoing", NULL};
    lua_getfield(L, 1, "deadline");
    if (!lua_isnil(L, -1)) {
        if (!lua_istable(L, -1))
            luaL_error(L, "'deadline' must be a table: {incoming = seconds, outgoing = seconds}");
        int table = lua_gettop(L);
        check_keys(L, table, "mq.configure deadline", names);
        registry->deadline_in = check_seconds(L, table, "incoming", registry->deadline_in);
        registry->deadline_out = check_seconds(L, table, "outgoing", registry->deadline_out);
    }
    lua_pop(L, 1);
}

static int l_configure(lua_State *L)
{
    static const char *const names[] = {"on_error", "deadline", NULL};
    mqlua_registry *registry = open_registry(L, "mq.configure");
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    check_keys(L, 1, "mq.configure", names);
    configure_on_error(L, registry);
    configure_deadline(L, registry);
    return 0;
}

void mqlua_on_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"on", l_on}, {"configure", l_configure}, {NULL, NULL}};
    luaL_register(L, NULL, functions);
}
