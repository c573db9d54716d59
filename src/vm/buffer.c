/* SPDX-License-Identifier: MIT */
#include "vm/buffer.h"
#include "vm/bytes.h"
#include "vm/heavy.h"
#include "vm/pattern.h"
#include <limits.h>
#include <string.h>

static const mqlua_bytes *self(lua_State *L)
{
    return mqlua_object_check(L, 1, &mqlua_bytes_type);
}

/* Cuts the range i to j (as in string.sub) to size bytes: *from is an offset, the result a length. */
static size_t range(lua_Integer i, lua_Integer j, size_t size, size_t *from)
{
    lua_Integer length = (lua_Integer)size;
    if (i < 0)
        i += length + 1;
    if (j < 0)
        j += length + 1;
    if (i < 1)
        i = 1;
    if (j > length)
        j = length;
    *from = (size_t)i - 1;
    return i > j ? 0 : (size_t)(j - i + 1);
}

static int push_charged(lua_State *L, const char *data, size_t size)
{
    mqlua_vm_charge(L, size / 16);
    lua_pushlstring(L, data, size);
    return 1;
}

static int l_len(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)self(L)->size);
    return 1;
}

static int l_sub(lua_State *L)
{
    const mqlua_bytes *bytes = self(L);
    size_t from, size = range(luaL_checkinteger(L, 2), luaL_optinteger(L, 3, -1), bytes->size, &from);
    return push_charged(L, size ? bytes->data + from : "", size);
}

static int l_byte(lua_State *L)
{
    const mqlua_bytes *bytes = self(L);
    lua_Integer first = luaL_optinteger(L, 2, 1);
    size_t from, size = range(first, luaL_optinteger(L, 3, first), bytes->size, &from);
    if (size > INT_MAX || !lua_checkstack(L, (int)size))
        return luaL_error(L, "string slice too long");
    for (size_t i = 0; i < size; i++)
        lua_pushinteger(L, (unsigned char)bytes->data[from + i]);
    return (int)size;
}

/* A buffer with all of them: in place of strings, which would take a second copy. */
static int l_append(lua_State *L)
{
    size_t total = 0, size;
    int count = lua_gettop(L);
    self(L);
    for (int i = 1; i <= count; i++) {
        mqlua_bytes_check(L, i, &size);
        if (size > SIZE_MAX / 4 - total)
            luaL_error(L, "buffer too large");
        total += size;
    }
    mqlua_vm_charge(L, total / 16);
    char *to = mqlua_bytes_push_room(L, total);
    for (int i = 1; i <= count; i++) {
        const char *bytes = mqlua_bytes_check(L, i, &size);
        to = mempcpy(to, bytes, size);
    }
    return 1;
}

/* Only buffers are methods' business here: the functions of string take them just the same. */
static int l_gsub(lua_State *L)
{
    self(L);
    return mqlua_pattern_gsub(L);
}

static int l_lower(lua_State *L)
{
    self(L);
    return mqlua_heavy_lower(L);
}

static int l_rep(lua_State *L)
{
    self(L);
    return mqlua_heavy_rep(L);
}

static int l_reverse(lua_State *L)
{
    self(L);
    return mqlua_heavy_reverse(L);
}

static int l_upper(lua_State *L)
{
    self(L);
    return mqlua_heavy_upper(L);
}

static int l_tostring(lua_State *L)
{
    const mqlua_bytes *bytes = self(L);
    return push_charged(L, bytes->data, bytes->size);
}

static int l_eq(lua_State *L)
{
    const mqlua_bytes *a = self(L), *b = mqlua_object_check(L, 2, &mqlua_bytes_type);
    bool same = a->size == b->size;
    if (same && a->data != b->data) {
        mqlua_vm_charge(L, a->size / 16);
        same = memcmp(a->data, b->data, a->size) == 0;
    }
    lua_pushboolean(L, same);
    return 1;
}

static const luaL_Reg methods[] = {
    {"append", l_append},
    {"byte", l_byte},
    {"find", mqlua_pattern_find},
    {"gmatch", mqlua_pattern_gmatch},
    {"gsub", l_gsub},
    {"len", l_len},
    {"lower", l_lower},
    {"match", mqlua_pattern_match},
    {"rep", l_rep},
    {"reverse", l_reverse},
    {"sub", l_sub},
    {"tostring", l_tostring},
    {"upper", l_upper},
    {NULL, NULL},
};

static const luaL_Reg meta[] = {
    {"__concat", mqlua_bytes_l_concat}, {"__eq", l_eq}, {"__len", l_len},
    {"__tostring", l_tostring},         {NULL, NULL},
};

const mqlua_type mqlua_bytes_type = {
    .name = "buffer",
    .dead = "buffer is no longer valid: its bytes were only there during the event",
    .methods = methods,
    .meta = meta,
};

void mqlua_buffer_open(lua_State *L)
{
    mqlua_object_register(L, &mqlua_bytes_type);
}
