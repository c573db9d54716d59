/* SPDX-License-Identifier: MIT */
#include "vm/text.h"
#include "vm/vm.h"
#include <lauxlib.h>
#include <stdint.h>
#include <string.h>

/*
 * Long texts live in a block of the state's allocator, so that the memory cap counts them, but not in a Lua
 * value: garbage of this size outruns LuaJIT's collector, which does a small fixed step per allocation.
 */

enum { LARGE = 32 * 1024 }; /* strings of this size are worth a proportional step of collection */

/* The userdata in the slot, which frees the block when something raised before the end. */
typedef struct block {
    char *data;
    size_t capacity;
} block;

static const char metatable_name[] = "mailerq-lua.text";

static void release(lua_State *L, block *b)
{
    if (!b || !b->data)
        return;
    void *ud;
    lua_Alloc allocate = lua_getallocf(L, &ud);
    allocate(ud, b->data, b->capacity, 0);
    b->data = NULL;
    b->capacity = 0;
}

static int l_gc(lua_State *L)
{
    release(L, lua_touserdata(L, 1));
    return 0;
}

void mqlua_text_init(mqlua_text *text, lua_State *L)
{
    luaL_checkstack(L, 8, NULL);
    lua_pushnil(L);
    text->L = L;
    text->data = text->first;
    text->size = 0;
    text->capacity = sizeof(text->first);
    text->slot = lua_gettop(L);
}

static void push_metatable(lua_State *L)
{
    if (!luaL_newmetatable(L, metatable_name))
        return;
    lua_pushcfunction(L, l_gc);
    lua_setfield(L, -2, "__gc");
}

void mqlua_text_open(lua_State *L)
{
    push_metatable(L);
    lua_pop(L, 1);
}

/* The block of the text, made now if there is none. */
static block *own_block(mqlua_text *text)
{
    lua_State *L = text->L;
    block *b = lua_touserdata(L, text->slot);
    if (b)
        return b;
    luaL_checkstack(L, 4, NULL);
    b = lua_newuserdata(L, sizeof(*b));
    memset(b, 0, sizeof(*b));
    push_metatable(L);
    lua_setmetatable(L, -2);
    lua_replace(L, text->slot);
    return b;
}

static void grow(mqlua_text *text, size_t size)
{
    if (size > SIZE_MAX / 4 - text->size)
        luaL_error(text->L, "string length overflow");
    size_t capacity = text->capacity * 2;
    if (capacity < text->size + size)
        capacity = text->size + size;
    block *b = own_block(text);
    void *ud;
    lua_Alloc allocate = lua_getallocf(text->L, &ud);
    char *data = allocate(ud, b->data, b->capacity, capacity);
    if (!data) {
        /* the allocator also refuses when the budget is spent, and that is the better message */
        mqlua_vm_charge(text->L, SIZE_MAX / 2);
        lua_pushliteral(text->L, "not enough memory");
        lua_error(text->L);
    }
    if (!b->data)
        memcpy(data, text->first, text->size);
    b->data = text->data = data;
    b->capacity = text->capacity = capacity;
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
    lua_State *L = text->L;
    if (text->size >= LARGE) {
        mqlua_vm_charge(L, text->size);
        lua_gc(L, LUA_GCSTEP, (int)(text->size / 1024));
    }
    lua_pushlstring(L, text->data, text->size);
    if (text->data == text->first)
        return;
    release(L, lua_touserdata(L, text->slot));
    lua_pushnil(L);
    lua_replace(L, text->slot);
    text->data = text->first;
    text->size = 0;
    text->capacity = sizeof(text->first);
}
