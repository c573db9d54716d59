/* SPDX-License-Identifier: MIT */

/* Header fields, for lua/mq/core/mime.lua. */

#include "api/mime.h"
#include "api/mime_work.h"
#include "base/ascii.h"
#include "mime/address.h"
#include "vm/bytes.h"

#include <stdlib.h>
#include <string.h>

static const char *check_header(lua_State *L, size_t *size, size_t *at)
{
    const char *data = mqlua_bytes_check(L, 1, size);
    double from = luaL_checknumber(L, 2), to = luaL_checknumber(L, 3);
    if (to >= 0 && to < (double)*size)
        *size = (size_t)to;
    *at = from > 0 ? (from < (double)*size ? (size_t)from : *size) : 0;
    return data;
}

/* Pushes a field's value as one line of UTF-8, with encoded words decoded or as they are. */
static void push_value(lua_State *L, mqlua_work *work, const char *value, size_t size, bool decoded)
{
    mqlua_vm_charge(L, size * (decoded ? 4 : 1));
    mqlua_work_own(L, work, mqlua_mime_value(value, size));
    if (decoded && strstr(work->out, "=?") && strlen(work->out) <= work->limits.field)
        mqlua_work_own(L, work, work->library->words(work->out));
    lua_pushstring(L, work->out);
}

/* field(bytes, header, body, name, n): the value of the n-th field of that name, decoded, with its offsets;
 * or nil. */
static int l_field(lua_State *L)
{
    size_t size, at, name_size;
    const char *data = check_header(L, &size, &at), *name = luaL_checklstring(L, 4, &name_size);
    int number = luaL_checkint(L, 5);
    mqlua_work *work = mqlua_work_new(L);
    mqlua_mime_field field;
    while (mqlua_mime_next_field(data, size, &at, &field)) {
        mqlua_vm_charge(L, field.name_size + field.value_size / 8);
        if (field.name_size != name_size || !mqlua_ascii_same(field.name, name, name_size) || --number > 0)
            continue;
        push_value(L, work, field.value, field.value_size, true);
        lua_pushnumber(L, (double)field.begin);
        lua_pushnumber(L, (double)field.end);
        return 3;
    }
    lua_pushnil(L);
    return 1;
}

/* fields(bytes, header, body): a list of {name =, value =}, decoded. */
static int l_fields(lua_State *L)
{
    size_t size, at;
    const char *data = check_header(L, &size, &at);
    mqlua_work *work = mqlua_work_new(L);
    mqlua_mime_field field;
    int count = 0;
    lua_newtable(L);
    while (mqlua_mime_next_field(data, size, &at, &field)) {
        lua_createtable(L, 0, 2);
        lua_pushlstring(L, field.name, field.name_size);
        lua_setfield(L, -2, "name");
        push_value(L, work, field.value, field.value_size, true);
        lua_setfield(L, -2, "value");
        lua_rawseti(L, -2, ++count);
    }
    return 1;
}

/* The text at 1 as a value that GMime may be given: work->value. False: it is too large. */
static bool take_value(lua_State *L, mqlua_work *work)
{
    size_t size;
    const char *text = mqlua_bytes_check(L, 1, &size);
    if (size > work->limits.field)
        return false;
    mqlua_vm_charge(L, size * 4);
    work->value = mqlua_mime_value(text, size);
    if (!work->value)
        luaL_error(L, "not enough memory");
    return true;
}

static int push_too_large(lua_State *L, const mqlua_work *work)
{
    char text[100];
    snprintf(text, sizeof text, "the value has more than %zu bytes (mime.field in the settings)",
             work->limits.field);
    lua_pushnil(L);
    lua_pushstring(L, text);
    lua_pushliteral(L, "limit");
    return 3;
}

/* words(value): decoded; or nil, message, code. */
static int l_words(lua_State *L)
{
    mqlua_work *work = mqlua_work_new(L);
    if (!take_value(L, work))
        return push_too_large(L, work);
    mqlua_work_own(L, work, work->library->words(work->value));
    lua_pushstring(L, work->out);
    return 1;
}

/* Pushes a copy of size bytes at text with encoded words decoded and without the quotes around it. */
static void push_phrase(lua_State *L, mqlua_work *work, const char *text, size_t size)
{
    if (size >= 2 && text[0] == '"' && text[size - 1] == '"')
        text++, size -= 2;
    lua_pushlstring(L, text, size);
    char *words = work->library->words(lua_tostring(L, -1));
    mqlua_work_own(L, work, words);
    lua_pop(L, 1);
    lua_pushstring(L, words);
}

/* Adds what GMime finds in the text of one address to the list at index 2. */
static void add_address(lua_State *L, mqlua_work *work, const mqlua_mime_addresses *one, int *count)
{
    mqlua_texts *texts = &work->texts;
    mqlua_vm_charge(L, one->size * 4);
    mqlua_vm_look(L);
    mqlua_texts_free(texts);
    lua_pushlstring(L, one->address, one->size);
    if (!work->library->addresses(lua_tostring(L, -1), texts))
        luaL_error(L, "not enough memory");
    lua_pop(L, 1);
    const char *name = texts->data, *email;
    for (size_t i = 0; i + 1 < texts->count; i += 2, name = mqlua_texts_next(email)) {
        email = mqlua_texts_next(name);
        lua_createtable(L, 0, 3);
        lua_pushstring(L, email);
        lua_setfield(L, -2, "email");
        if (*name) {
            lua_pushstring(L, name);
            lua_setfield(L, -2, "name");
        }
        if (one->group) {
            push_phrase(L, work, one->group, one->group_size);
            lua_setfield(L, -2, "group");
        }
        lua_rawseti(L, -2, ++*count);
    }
}

/* addresses(value): a list of {group, name, email}, or nil, message, code. */
static int l_addresses(lua_State *L)
{
    int count = 0;
    mqlua_work *work = mqlua_work_new(L);
    if (!take_value(L, work))
        return push_too_large(L, work);
    lua_newtable(L);
    mqlua_mime_addresses list = {.at = work->value};
    while (mqlua_mime_next_address(&list))
        add_address(L, work, &list, &count);
    return 1;
}

/* with_parameter(value, disposition, name, text): the value of a field with that parameter set. */
static int l_with_parameter(lua_State *L)
{
    bool disposition = lua_toboolean(L, 2);
    const char *name = luaL_optstring(L, 3, NULL), *text = luaL_optstring(L, 4, NULL);
    mqlua_work *work = mqlua_work_new(L);
    if (!take_value(L, work))
        return push_too_large(L, work);
    mqlua_work_own(L, work, work->library->with_parameter(work->value, disposition, name, text));
    lua_pushstring(L, work->out);
    return 1;
}

void mqlua_mime_push_fields(lua_State *L)
{
    static const luaL_Reg functions[] = {{"field", l_field},
                                         {"fields", l_fields},
                                         {"words", l_words},
                                         {"addresses", l_addresses},
                                         {"with_parameter", l_with_parameter},
                                         {NULL, NULL}};
    luaL_register(L, NULL, functions);
}
