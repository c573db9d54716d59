/* SPDX-License-Identifier: MIT */

#include "api/address.h"
#include <ctype.h>
#include <string.h>

typedef struct address {
    mqlua_object object;
    mqlua_local *local;
    uint64_t local_serial;
    size_t size;      /* of the whole text; 0: the null sender */
    size_t localpart; /* bytes before the last @ */
    char email[];
} address;

static const mqlua_type address_type;

static address *check(lua_State *L)
{
    return mqlua_object_check(L, 1, &address_type);
}

/* Bytes before the first blank, where parameters of the command may follow. A quoted local part may have
 * blanks. */
static size_t address_size(const char *email)
{
    bool quoted = false;
    size_t i = 0, size = strlen(email);
    if (!memchr(email, '"', size)) {
        const char *blank = memchr(email, ' ', size);
        return blank ? (size_t)(blank - email) : size;
    }
    for (; email[i] && (quoted || email[i] != ' '); i++) {
        if (email[i] == '"')
            quoted = !quoted;
        else if (quoted && email[i] == '\\' && email[i + 1])
            i++;
    }
    return quoted ? strcspn(email, " ") : i;
}

void mqlua_address_push(lua_State *L, const char *email, mqlua_local *local)
{
    size_t size = email ? address_size(email) : 0;
    if (size >= 2 && email[0] == '<' && email[size - 1] == '>') {
        email++;
        size -= 2;
    }
    address *a = mqlua_object_push(L, &address_type, sizeof *a + size + 1, NULL);
    a->local = local;
    a->local_serial = local ? local->slot.serial : 0;
    a->size = size;
    memcpy(a->email, email ? email : "", size);
    const char *at = memrchr(a->email, '@', size);
    a->localpart = at ? (size_t)(at - a->email) : size;
}

static int get_email(lua_State *L, void *object)
{
    const address *a = object;
    if (a->size)
        lua_pushlstring(L, a->email, a->size);
    else
        lua_pushnil(L);
    return 1;
}

static int get_localpart(lua_State *L, void *object)
{
    const address *a = object;
    if (a->size)
        lua_pushlstring(L, a->email, a->localpart);
    else
        lua_pushnil(L);
    return 1;
}

static int get_domain(lua_State *L, void *object)
{
    const address *a = object;
    if (a->localpart + 1 >= a->size) {
        lua_pushnil(L);
        return 1;
    }
    luaL_Buffer buffer;
    luaL_buffinit(L, &buffer);
    for (size_t i = a->localpart + 1; i < a->size; i++)
        luaL_addchar(&buffer, (char)tolower((unsigned char)a->email[i]));
    luaL_pushresult(&buffer);
    return 1;
}

static int get_is_null(lua_State *L, void *object)
{
    lua_pushboolean(L, ((const address *)object)->size == 0);
    return 1;
}

/* The mark of a, or raises when it cannot be had. */
static mqlua_local *check_local(lua_State *L, address *a)
{
    if (!a->local)
        luaL_error(L, "address.is_local is there only for the address of smtp_in_rcptto");
    if (a->local->slot.serial != a->local_serial)
        luaL_error(L, "address.is_local cannot be used after the end of the event");
    if (!a->local->host)
        luaL_error(L, "address.is_local: %s", a->local->unavailable);
    return a->local;
}

static int get_is_local(lua_State *L, void *object)
{
    mqlua_local *local = check_local(L, object);
    bool (*get)(void *) = (bool (*)(void *))mqlua_env_of(L)->symbols->local;
    lua_pushboolean(L, local->staged ? local->value : get(local->host));
    return 1;
}

static int set_is_local(lua_State *L, void *object)
{
    mqlua_local *local = check_local(L, object);
    luaL_checktype(L, 2, LUA_TBOOLEAN);
    local->staged = true;
    local->value = lua_toboolean(L, 2);
    return 0;
}

static int l_tostring(lua_State *L)
{
    address *a = check(L);
    lua_pushlstring(L, a->size ? a->email : "<>", a->size ? a->size : 2);
    return 1;
}

static const mqlua_field fields[] = {
    {"email", get_email, NULL},     {"localpart", get_localpart, NULL},       {"domain", get_domain, NULL},
    {"is_null", get_is_null, NULL}, {"is_local", get_is_local, set_is_local}, {NULL, NULL, NULL},
};

static const luaL_Reg meta[] = {{"__tostring", l_tostring}, {NULL, NULL}};

static const mqlua_type address_type = {.name = "address", .fields = fields, .meta = meta};

const char *mqlua_address_text(lua_State *L, int index)
{
    address *a = mqlua_object_test(L, index, &address_type, NULL);
    if (a)
        return a->size ? a->email : NULL;
    if (lua_isnil(L, index))
        return NULL;
    size_t size;
    const char *text = luaL_checklstring(L, index, &size);
    if (size != address_size(text) || strpbrk(text, "\t\r\n<>"))
        luaL_error(L, "'%s' is not an address: spaces, <, >, CR, LF and NUL are refused", text);
    return *text ? text : NULL;
}

bool mqlua_address_get(lua_State *L, int index, const char **email, size_t *size)
{
    address *a = mqlua_object_test(L, index, &address_type, NULL);
    if (!a)
        return false;
    *email = a->size ? a->email : NULL;
    *size = a->size;
    return true;
}

void mqlua_address_open(lua_State *L)
{
    mqlua_object_register(L, &address_type);
}
