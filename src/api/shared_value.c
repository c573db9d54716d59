/* SPDX-License-Identifier: MIT */

/* Keys, values and lives of dictionaries, from Lua and back. */

#include "api/shared_internal.h"
#include "json/path.h"
#include "json/value.h"
#include "vm/bytes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SCRATCH = 64 << 10, /* bytes that are kept for the next read */
    TYPE_CDATA = 10,    /* what lua_type says of cdata; LuaJIT's headers have no name for it */
};

bool mqlua_shared_key(lua_State *L, const char **key, size_t *size, const char **why)
{
    *why = NULL;
    if (lua_isnoneornil(L, 2))
        *why = "nil key";
    else if (lua_isuserdata(L, 2) && !mqlua_bytes_to(L, 2, key, size) && luaL_callmeta(L, 2, "__tostring"))
        lua_replace(L, 2);
    if (*why)
        return false;
    if (!lua_isuserdata(L, 2))
        *key = luaL_checklstring(L, 2, size);
    else if (!mqlua_bytes_to(L, 2, key, size))
        luaL_argerror(L, 2, "a key is a text or a number");
    mqlua_vm_charge(L, 20 + *size / 32);
    *why = !*size ? "empty key" : *size > MQLUA_DICT_KEY ? "key too long" : NULL;
    return !*why;
}

int mqlua_shared_fail(lua_State *L, const char *why)
{
    lua_pushnil(L);
    lua_pushstring(L, why);
    return 2;
}

bool mqlua_shared_check_value(lua_State *L, int index, mqlua_dict_value *value)
{
    *value = (mqlua_dict_value){.type = MQLUA_DICT_NONE};
    switch (lua_type(L, index)) {
    case LUA_TNIL:
    case LUA_TNONE:
        return true;
    case LUA_TBOOLEAN:
        value->type = MQLUA_DICT_BOOLEAN;
        value->boolean = lua_toboolean(L, index);
        return true;
    case LUA_TNUMBER:
        value->type = MQLUA_DICT_NUMBER;
        value->number = lua_tonumber(L, index);
        return true;
    case LUA_TSTRING:
        value->type = MQLUA_DICT_TEXT;
        value->text = lua_tolstring(L, index, &value->size);
        break;
    case LUA_TUSERDATA:
        value->type = MQLUA_DICT_TEXT;
        if (!mqlua_bytes_to(L, index, &value->text, &value->size))
            return false;
        break;
    case TYPE_CDATA: {
        mqlua_scalar scalar;
        mqlua_path path = {0};
        mqlua_value_scalar(L, index, &path, &scalar);
        value->type = scalar.beyond ? MQLUA_DICT_NUMBER : MQLUA_DICT_INTEGER;
        if (scalar.beyond)
            value->number = (double)(uint64_t)scalar.integer;
        else
            value->integer = scalar.integer;
        return true;
    }
    default:
        return false;
    }
    if (value->size > UINT32_MAX)
        luaL_argerror(L, index, "the text is too long");
    mqlua_vm_charge(L, value->size / 16);
    return true;
}

uint64_t mqlua_shared_check_ttl(lua_State *L, int index, const char *name)
{
    if (lua_isnoneornil(L, index))
        return 0;
    double seconds = luaL_checknumber(L, index);
    if (!(seconds >= 0 && seconds <= 1e9))
        luaL_error(L, "bad \"%s\" argument: a number of seconds, 0 (for ever) or more", name);
    uint64_t ttl = (uint64_t)ceil(seconds * 1000);
    return ttl;
}

void mqlua_shared_push_value(lua_State *L, mqlua_shared_handle *self, const mqlua_dict_value *value)
{
    mqlua_scalar scalar = {.type = MQLUA_TREE_INTEGER, .integer = value->integer};
    switch (value->type) {
    case MQLUA_DICT_BOOLEAN:
        lua_pushboolean(L, value->boolean);
        break;
    case MQLUA_DICT_NUMBER:
        lua_pushnumber(L, value->number);
        break;
    case MQLUA_DICT_INTEGER:
        mqlua_value_push_scalar(L, &scalar);
        break;
    case MQLUA_DICT_TEXT:
        mqlua_vm_charge(L, value->size / 16);
        lua_pushlstring(L, value->text, value->size);
        break;
    default:
        lua_pushnil(L);
    }
    if (self->scratch.room > SCRATCH)
        mqlua_dict_scratch_free(&self->scratch);
}

const char *mqlua_shared_why(mqlua_dict_status status)
{
    switch (status) {
    case MQLUA_DICT_ABSENT:
        return "not found";
    case MQLUA_DICT_EXISTS:
        return "exists";
    case MQLUA_DICT_NOT_NUMBER:
        return "not a number";
    case MQLUA_DICT_NOT_LIST:
        return "value not a list";
    case MQLUA_DICT_IS_LIST:
        return "value is a list";
    default:
        return "no memory";
    }
}
