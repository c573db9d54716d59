/* SPDX-License-Identifier: MIT */
#include "vm/text.h"
#include <lauxlib.h>
#include <stdint.h>
#include <string.h>

void mqlua_text_init(mqlua_text *text, lua_State *L)
{
    luaL_checkstack(L, 4, NULL);
    lua_pushnil(L);
    text->L = L;
    text->data = text->first;
    text->size = 0;
    text->capacity = sizeof(text->first);
    text->slot = lua_gettop(L);
}

static void grow(mqlua_text *text, size_t size)
{
    if (size > SIZE_MAX / 4 - text->size)
        luaL_error(text->L, "string length overflow");
    size_t capacity = text->capacity * 2;
    if (capacity < text->size + size)
        capacity = text->size + size;
    luaL_checkstack(text->L, 1, NULL);
    char *data = lua_newuserdata(text->L, capacity);
    memcpy(data, text->data, text->size);
    lua_replace(text->L, text->slot);
    text->data = data;
    text->capacity = capacity;
}

char *mqlua_text_room(mqlua_text *text, size_t size)
{
    if (size > text->capacity - text->size)
        grow(text, size);
    char *at = text->data + text->size;
    text->size += size;
    return at;
}

void mqlua_text_add(mqlua_text *text, const char *data, size_t size)
{
    if (size)
        memcpy(mqlua_text_room(text, size), data, size);
}

void mqlua_text_push(mqlua_text *text)
{
    lua_pushlstring(text->L, text->data, text->size);
    lua_pushnil(text->L);
    lua_replace(text->L, text->slot);
    text->data = text->first;
    text->size = 0;
    text->capacity = sizeof(text->first);
}
