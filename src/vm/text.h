/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A string being put together. Short ones stay in the struct, longer ones in memory of the state's that a
 * userdata in one slot of the Lua stack guards, so that nothing leaks when something raises. Unlike a
 * luaL_Buffer it leaves the top of the stack to others between calls and takes little of the C stack.
 */

#include <lua.h>
#include <stddef.h>

typedef struct mqlua_text {
    lua_State *L;
    char *data;
    size_t size;
    size_t capacity;
    int slot; /* where the userdata is kept */
    char first[512];
} mqlua_text;

/* Enters the guard's metatable into the registry of a new state: the registry must not grow where memory may
 * run out (vm/refs.h). Raises on lack of memory. */
void mqlua_text_open(lua_State *L);

/* Starts an empty text and pushes one placeholder, which must stay where it is. Raises on lack of stack. */
void mqlua_text_init(mqlua_text *text, lua_State *L);

/* Makes room for size more bytes and returns where they are to be written; they count at once. Raises on lack
 * of memory. The pointer is good until the next call. */
char *mqlua_text_room(mqlua_text *text, size_t size);

/* Appends a copy of size bytes, which must not be in the text itself. Raises on lack of memory. */
void mqlua_text_add(mqlua_text *text, const char *data, size_t size);

/* Pushes the text as a string, gives its memory back, and lets the collector work in proportion. Raises on
 * lack of memory. */
void mqlua_text_push(mqlua_text *text);
