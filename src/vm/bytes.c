/* SPDX-License-Identifier: MIT */
#include "vm/bytes.h"
#include "vm/text.h"
#include <string.h>

void mqlua_bytes_push(lua_State *L, const char *data, size_t size, mqlua_slot *slot)
{
    mqlua_bytes *bytes = mqlua_object_push(L, &mqlua_bytes_type, sizeof(*bytes), slot);
    bytes->data = data ? data : "";
    bytes->size = data ? size : 0;
}

char *mqlua_bytes_push_room(lua_State *L, size_t size)
{
    if (size > SIZE_MAX / 2)
        luaL_error(L, "buffer too large");
    mqlua_bytes *bytes = mqlua_object_push(L, &mqlua_bytes_type, sizeof(*bytes) + size, NULL);
    char *room = (char *)(bytes + 1);
    bytes->data = room;
    bytes->size = size;
    return room;
}

void mqlua_bytes_push_copy(lua_State *L, const char *data, size_t size)
{
    char *copy = mqlua_bytes_push_room(L, size);
    if (size)
        memcpy(copy, data, size);
}

void mqlua_bytes_detach(lua_State *L, int index)
{
    bool alive = false;
    mqlua_bytes *bytes = mqlua_object_test(L, index, &mqlua_bytes_type, &alive);
    if (!bytes)
        luaL_error(L, "buffer expected, got %s", luaL_typename(L, index));
    if (!alive || !bytes->object.slot)
        return;
    if (index < 0)
        index = lua_gettop(L) + index + 1;
    luaL_checkstack(L, 2, NULL);
    lua_createtable(L, 1, 0);
    lua_pushlstring(L, bytes->data, bytes->size);
    const char *copy = lua_tostring(L, -1);
    lua_rawseti(L, -2, 1);
    lua_setfenv(L, index); /* the environment of the userdata keeps the copy alive */
    bytes->data = copy;
    bytes->object.slot = NULL;
}

bool mqlua_bytes_to(lua_State *L, int index, const char **data, size_t *size)
{
    if (lua_type(L, index) == LUA_TSTRING) {
        *data = lua_tolstring(L, index, size);
        return true;
    }
    bool alive = false;
    const mqlua_bytes *bytes = mqlua_object_test(L, index, &mqlua_bytes_type, &alive);
    if (!bytes)
        return (*data = mqlua_object_text(L, index, size)) != NULL;
    if (!alive)
        return false;
    *data = bytes->data;
    *size = bytes->size;
    return true;
}

const char *mqlua_bytes_check(lua_State *L, int index, size_t *size)
{
    const char *text = NULL;
    if (lua_type(L, index) == LUA_TUSERDATA && mqlua_object_test(L, index, &mqlua_bytes_type, NULL)) {
        const mqlua_bytes *bytes = mqlua_object_check(L, index, &mqlua_bytes_type); /* raises if dead */
        *size = bytes->size;
        return bytes->data;
    }
    if (lua_type(L, index) == LUA_TUSERDATA)
        text = mqlua_object_text(L, index, size);
    return text ? text : luaL_checklstring(L, index, size);
}

/* ---- for Lua ---- */

/* A string, a number, a buffer, or an object that shows a text. */
static const char *operand(lua_State *L, int index, size_t *size)
{
    bool shown = mqlua_object_test(L, index, &mqlua_bytes_type, NULL) || mqlua_object_text(L, index, size);
    if (!shown && !lua_isstring(L, index))
        luaL_error(L, "attempt to concatenate a %s value", luaL_typename(L, index));
    return mqlua_bytes_check(L, index, size);
}

/* One copy besides the result, in place of two, so that large messages fit. */
int mqlua_bytes_l_concat(lua_State *L)
{
    lua_settop(L, 2);
    size_t left_size, right_size;
    const char *left = operand(L, 1, &left_size), *right = operand(L, 2, &right_size);
    mqlua_vm_charge(L, (left_size + right_size) / 16);
    mqlua_text text;
    mqlua_text_init(&text, L);
    char *to = mqlua_text_room(&text, left_size + right_size);
    to = mempcpy(to, left, left_size);
    memcpy(to, right, right_size);
    mqlua_text_push(&text);
    return 1;
}
