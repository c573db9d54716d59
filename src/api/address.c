/* SPDX-License-Identifier: MIT */

#include "api/address.h"
#include "base/email.h"
#include "vm/bytes.h"
#include <string.h>

typedef struct address {
    mqlua_object object;
    mqlua_local *local;
    uint64_t local_serial;
    size_t size;  /* 0: the null sender */
    char email[]; /* NUL-terminated */
} address;

static const mqlua_type address_type;

static address *check(lua_State *L)
{
    return mqlua_object_check(L, 1, &address_type);
}

void mqlua_address_push(lua_State *L, const char *email, mqlua_local *local)
{
    size_t size = email ? strlen(email) : 0;
    if (size && memchr(email, ' ', size))
        size = mqlua_email_length(email, size);
    if (size >= 2 && email[0] == '<' && email[size - 1] == '>') {
        email++;
        size -= 2;
    }
    address *a = mqlua_object_push(L, &address_type, sizeof *a + size + 1, NULL);
    a->local = local;
    a->local_serial = local ? local->slot.serial : 0;
    a->size = size;
    memcpy(a->email, email ? email : "", size);
}

static mqlua_email read(const void *object)
{
    const address *a = object;
    mqlua_email email;
    mqlua_email_read(&email, a->email, a->size);
    return email;
}

static int push_text(lua_State *L, const char *text, size_t size, bool is_there)
{
    if (is_there)
        lua_pushlstring(L, text, size);
    else
        lua_pushnil(L);
    return 1;
}

/* Room for a part of a, whatever it becomes: the given one, or a userdata that is pushed. */
static char *room_for(lua_State *L, const mqlua_email *email, char given[MQLUA_EMAIL_KEY])
{
    return email->size <= MQLUA_EMAIL_READ ? given : lua_newuserdata(L, email->size + MQLUA_EMAIL_MORE);
}

static int get_email(lua_State *L, void *object)
{
    const address *a = object;
    return push_text(L, a->email, a->size, a->size);
}

static int get_localpart(lua_State *L, void *object)
{
    const mqlua_email email = read(object);
    char given[MQLUA_EMAIL_READ];
    if (email.plain)
        return push_text(L, email.text, email.local_end, email.size);
    return push_text(L, given, mqlua_email_local(&email, given), true);
}

static int get_domain(lua_State *L, void *object)
{
    const mqlua_email email = read(object);
    char given[MQLUA_EMAIL_KEY], *text = room_for(L, &email, given);
    size_t size = mqlua_email_domain(&email, false, text);
    return push_text(L, text, size, size);
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

static const char *text_of(const void *object, size_t *size)
{
    const address *a = object;
    *size = a->size ? a->size : 2;
    return a->size ? a->email : "<>";
}

static int l_tostring(lua_State *L)
{
    size_t size;
    const char *text = text_of(check(L), &size);
    lua_pushlstring(L, text, size);
    return 1;
}

static int l_eq(lua_State *L)
{
    const mqlua_email a = read(check(L)), b = read(mqlua_object_check(L, 2, &address_type));
    lua_pushboolean(L, mqlua_email_same(&a, &b, false));
    return 1;
}

static const mqlua_field fields[] = {
    {"email", get_email, NULL},     {"localpart", get_localpart, NULL},       {"domain", get_domain, NULL},
    {"is_null", get_is_null, NULL}, {"is_local", get_is_local, set_is_local}, {NULL, NULL, NULL},
};

static const luaL_Reg meta[] = {
    {"__tostring", l_tostring}, {"__eq", l_eq}, {"__concat", mqlua_bytes_l_concat}, {NULL, NULL}};

static const mqlua_type address_type = {.name = "address", .fields = fields, .meta = meta, .text = text_of};

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
