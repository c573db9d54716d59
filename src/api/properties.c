/* SPDX-License-Identifier: MIT */

/* MailerQ's own JSON properties: their types, and what a quarantine leaves of them. A wrong one would not
 * fail here and now but when MailerQ delivers the message, far from the line that wrote it. Unknown keys are
 * the operator's own. */

#include "api/message.h"
#include "json/value.h"
#include <stdio.h>
#include <string.h>

typedef enum property_type { TEXT, TIME, FLAG, INTEGER, OBJECT, TEXTS, INTEGERS, OBJECTS } property_type;

typedef struct property {
    const char *name;
    property_type type;
} property;

static const property properties[] = {
    {"key", TEXT},
    {"keepmime", FLAG},
    {"data", OBJECT},
    {"ips", TEXTS},
    {"pool", TEXT},
    {"delayed", TIME},
    {"nextattempt", OBJECT},
    {"maxdelivertime", TIME},
    {"maxattempts", INTEGER},
    {"retries", INTEGERS},
    {"force", FLAG},
    {"inlinecss", FLAG},
    {"dkim", OBJECTS},
    {"dsn", OBJECT},
    {"queues", OBJECT},
    {"smarthost", OBJECT},
    {"tags", TEXTS},
    {"headers", OBJECT},
    {"priority", INTEGER},
    {"security", TEXT},
    {"hostname", TEXT},
    {"received", TIME},
    {"message-id", TEXT},
    {"connection", OBJECT},
    {NULL, TEXT},
};

/* What may stay in a message that goes to a quarantine or nowhere: its content, and what MailerQ says about
 * how it came. Everything else of MailerQ's decides what becomes of a message, and may come from its sender.
 */
static const char *const lasting[] = {"envelope", "recipient", "mime",       "key",        "tags",
                                      "hostname", "received",  "message-id", "connection", "spool",
                                      "cli",      "http",      "checks"};
/* Of MailerQ's without a type above: results, what only some versions have, and reserved names. */
static const char *const others[] = {"normalize", "results", "extracted", "domain", "forcedip", "seen"};

static bool among(const char *const *names, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], key) == 0)
            return true;
    return false;
}

bool mqlua_properties_lasts(const char *key)
{
    if (among(lasting, sizeof lasting / sizeof *lasting, key))
        return true;
    for (const property *p = properties; p->name; p++)
        if (strcmp(p->name, key) == 0)
            return false;
    return !among(others, sizeof others / sizeof *others, key);
}

static int wrong(lua_State *L, const char *key, const char *expected, int index)
{
    return luaL_error(L, "json.%s must be %s, got %s", key, expected, luaL_typename(L, index));
}

static bool is_array(lua_State *L, int index, const char *key)
{
    mqlua_path root = {.key = "json"}, path = MQLUA_PATH_KEY(&root, key);
    size_t count;
    return lua_istable(L, index) && mqlua_value_table(L, index, &path, &count) == MQLUA_TREE_ARRAY;
}

static bool is_time(const char *text)
{
    int used = 0, parts[6];
    return sscanf(text, "%4d-%2d-%2d %2d:%2d:%2d%n", &parts[0], &parts[1], &parts[2], &parts[3], &parts[4],
                  &parts[5], &used) == 6 &&
           used == 19 && !text[19];
}

static void check_time(lua_State *L, const char *key, int index)
{
    if (lua_type(L, index) != LUA_TSTRING || !is_time(lua_tostring(L, index)))
        luaL_error(L,
                   "json.%s must be a time in UTC such as \"2026-01-31 12:00:00\" (see message:expire and "
                   "message:delay)",
                   key);
}

static bool is_empty(lua_State *L, int index)
{
    if (!lua_istable(L, index))
        return false;
    lua_pushnil(L);
    if (!lua_next(L, index))
        return true;
    lua_pop(L, 2);
    return false;
}

static void check_elements(lua_State *L, const char *key, int index, int type)
{
    if (!is_array(L, index, key)) {
        if (is_empty(L, index))
            luaL_error(L, "json.%s must be an array: write mq.array{} for an empty one", key);
        wrong(L, key, "an array", index);
    }
    int count = (int)lua_objlen(L, index);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, index, i);
        if (lua_type(L, -1) != type)
            luaL_error(L, "json.%s[%d] must be a %s, got %s", key, i, lua_typename(L, type),
                       luaL_typename(L, -1));
        lua_pop(L, 1);
    }
}

static bool is_integer(lua_State *L, int index)
{
    lua_Number number = lua_tonumber(L, index);
    return lua_type(L, index) == LUA_TNUMBER && number == (lua_Number)(long long)number;
}

static void check_type(lua_State *L, const property *p, int index)
{
    int type = lua_type(L, index);
    switch (p->type) {
    case TEXT:
        if (type != LUA_TSTRING)
            wrong(L, p->name, "a string", index);
        break;
    case TIME:
        check_time(L, p->name, index);
        break;
    case FLAG: /* 3.0 wrote 1 */
        if (type != LUA_TBOOLEAN && !is_integer(L, index))
            wrong(L, p->name, "true or false", index);
        break;
    case INTEGER:
        if (!is_integer(L, index))
            wrong(L, p->name, "a whole number", index);
        break;
    case OBJECT:
        if (type != LUA_TTABLE || (lua_objlen(L, index) && is_array(L, index, p->name)))
            wrong(L, p->name, "an object (a table with names as keys)", index);
        break;
    case OBJECTS:
        if (type != LUA_TTABLE)
            wrong(L, p->name, "an object or an array of objects", index);
        break;
    case TEXTS:
        check_elements(L, p->name, index, LUA_TSTRING);
        break;
    case INTEGERS:
        check_elements(L, p->name, index, LUA_TNUMBER);
        break;
    }
}

void mqlua_properties_check(lua_State *L, const char *key, int index)
{
    if (lua_isnil(L, index))
        return;
    for (const property *p = properties; p->name; p++)
        if (*p->name == *key && strcmp(p->name, key) == 0)
            check_type(L, p, index);
}
