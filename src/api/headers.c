/* SPDX-License-Identifier: MIT */

#include "api/headers.h"
#include "base/ascii.h"
#include <string.h>

typedef mqlua_header_field field;

static void trim(field *f)
{
    while (f->value_size && strchr(" \t\r\n", f->value[0]) && f->value[0])
        f->value++, f->value_size--;
    while (f->value_size && strchr(" \t\r\n", f->value[f->value_size - 1]) && f->value[f->value_size - 1])
        f->value_size--;
}

/* Unfolding (RFC 5322, 2.2.3) takes away the line ends and leaves the white space that follows. */
void mqlua_headers_push_value(lua_State *L, field *f)
{
    luaL_Buffer buffer;
    trim(f);
    mqlua_vm_charge(L, f->value_size);
    luaL_buffinit(L, &buffer);
    for (const char *at = f->value, *end = at + f->value_size; at < end;) {
        const char *stop = at;
        while (stop < end && *stop != '\r' && *stop != '\n')
            stop++;
        luaL_addlstring(&buffer, at, (size_t)(stop - at));
        at = stop;
        while (at < end && (*at == '\r' || *at == '\n'))
            at++;
    }
    luaL_pushresult(&buffer);
}

bool mqlua_headers_push(lua_State *L, const char *mime, size_t size, const char *name, int number)
{
    const char *at = mqlua_header_begin(mime, size), *end = mime + size;
    size_t name_size = strlen(name);
    field f;
    while (mqlua_header_next(&at, end, &f)) {
        mqlua_vm_charge(L, f.name_size + f.value_size);
        if (f.name_size != name_size || !mqlua_ascii_same(f.name, name, name_size) || --number > 0)
            continue;
        mqlua_headers_push_value(L, &f);
        return true;
    }
    return false;
}

void mqlua_headers_push_all(lua_State *L, const char *mime, size_t size)
{
    const char *at = mqlua_header_begin(mime, size), *end = mime + size;
    int count = 0;
    field f;
    lua_newtable(L);
    while (mqlua_header_next(&at, end, &f)) {
        lua_createtable(L, 0, 2);
        lua_pushlstring(L, f.name, f.name_size);
        lua_setfield(L, -2, "name");
        mqlua_headers_push_value(L, &f);
        lua_setfield(L, -2, "value");
        lua_rawseti(L, -2, ++count);
    }
}
