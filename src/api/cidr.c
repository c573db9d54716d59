/* SPDX-License-Identifier: MIT */
#include "api/cidr.h"
#include "api/data.h"
#include "api/raise.h"
#include "base/error.h"
#include "base/mark.h"
#include "vm/object.h"
#include "vm/vm.h"

#include <string.h>

typedef struct networks {
    mqlua_object object;
    mqlua_cidr *cidr;
} networks;

static int l_gc(lua_State *L);
static int l_contains(lua_State *L);

static const luaL_Reg methods[] = {{"contains", l_contains}, {NULL, NULL}};
static const luaL_Reg meta[] = {{"__gc", l_gc}, {NULL, NULL}};
static const mqlua_type type = {.name = "cidr", .methods = methods, .meta = meta};

static int l_gc(lua_State *L)
{
    networks *self = mqlua_object_test(L, 1, &type, NULL);
    if (self) {
        mqlua_cidr_free(self->cidr);
        self->cidr = NULL;
    }
    return 0;
}

/* contains(ip): nil, the address of a client behind a proxy, is in no network. */
static int l_contains(lua_State *L)
{
    const networks *self = mqlua_object_check(L, 1, &type);
    size_t size;
    luaL_checkany(L, 2);
    if (lua_isnil(L, 2) || !self->cidr) {
        lua_pushboolean(L, 0);
        return 1;
    }
    const char *text = luaL_checklstring(L, 2, &size);
    int found = mqlua_cidr_contains_text(self->cidr, text, size);
    if (found < 0)
        return luaL_error(L, "cidr:contains: '%s' is not an IP address", text);
    lua_pushboolean(L, found);
    return 1;
}

static bool add(lua_State *L, networks *self, const char *text, size_t size, char **error)
{
    *error = NULL;
    mqlua_vm_charge(L, 40 + (size > 64 ? 64 : size));
    return mqlua_cidr_add(self->cidr, text, size, error);
}

static int refuse_entry(lua_State *L, int number, char *error)
{
    char where[40];
    snprintf(where, sizeof where, "mq.cidr: entry %d", number);
    return mqlua_raise(L, where, error);
}

/* text is wrong at at: its line, and the data file where it is one's. error as in mqlua_raise. */
static int refuse_line(lua_State *L, const char *text, size_t size, const char *at, char *error)
{
    char where[300], why[300];
    size_t line = 1;
    for (const char *c = text; c < at; c++)
        line += *c == '\n';
    snprintf(why, sizeof why, "%s", error ? error : "not enough memory");
    free(error); /* what follows may raise */
    const char *name = mqlua_data_name(L, text, size);
    if (name)
        snprintf(where, sizeof where, "mq.cidr: %s:%zu", name, line);
    else
        snprintf(where, sizeof where, "mq.cidr: line %zu", line);
    return luaL_error(L, "%s: %s", where, why);
}

/* Text such as mq.file returns: entries separated by blanks, commas and lines; # begins a comment. */
static void add_text(lua_State *L, networks *self, const char *whole, size_t size)
{
    const char *end = whole + size, *text = whole + mqlua_mark_size(whole, size);
    const char *foreign = mqlua_mark_foreign(whole, size);
    char *error = NULL;
    size_t seen = 0;
    if (foreign) {
        mqlua_error_set(&error, "the text is %s: save it as UTF-8", foreign);
        refuse_line(L, whole, size, whole, error);
    }
    while (text < end) {
        if (++seen % 4096 == 0)
            mqlua_vm_charge(L, 4096);
        if (*text == '#') {
            const char *newline = memchr(text, '\n', (size_t)(end - text));
            text = newline ? newline : end;
        } else if (*text && strchr(" \t\r\n,", *text)) {
            text++;
        } else {
            const char *from = text;
            while (text < end && !(*text && strchr(" \t\r\n,#", *text)))
                text++;
            if (!add(L, self, from, (size_t)(text - from), &error))
                refuse_line(L, whole, size, from, error);
        }
    }
}

static void charge(void *ud, size_t count)
{
    mqlua_vm_charge(ud, count * 4);
}

static int l_cidr(lua_State *L)
{
    bool list = lua_istable(L, 1);
    size_t size;
    if (!list)
        luaL_checktype(L, 1, LUA_TSTRING);
    networks *self = mqlua_object_push(L, &type, sizeof *self, NULL);
    void *ud;
    lua_Alloc resize = lua_getallocf(L, &ud);
    self->cidr = mqlua_cidr_new(resize, ud);
    if (!self->cidr)
        return luaL_error(L, "mq.cidr: not enough memory");
    if (!list) {
        const char *text = lua_tolstring(L, 1, &size);
        add_text(L, self, text, size);
    }
    int count = list ? (int)lua_objlen(L, 1) : 0;
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, 1, i);
        if (lua_type(L, -1) != LUA_TSTRING)
            return luaL_error(L, "mq.cidr: entry %d is a %s, not a text", i, luaL_typename(L, -1));
        const char *text = lua_tolstring(L, -1, &size);
        char *error;
        if (!add(L, self, text, size, &error))
            return refuse_entry(L, i, error);
        lua_pop(L, 1);
    }
    mqlua_cidr_finish_steps(self->cidr, charge, L);
    return 1;
}

void mqlua_cidr_open(lua_State *L)
{
    mqlua_object_register(L, &type);
    lua_pushcfunction(L, l_cidr);
    lua_setfield(L, -2, "cidr");
}
