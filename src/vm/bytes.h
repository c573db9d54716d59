/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The type "buffer": an immutable view on bytes. A borrowed view points at memory of somebody else and
 * dies with the slot it names; an owned one lives as long as Lua holds it. Methods copy only what they
 * return. All functions are to be called from the thread of the vm.
 */

#include "vm/object.h"

typedef struct mqlua_bytes {
    mqlua_object object;
    const char *data; /* not terminated; never written through */
    size_t size;
} mqlua_bytes;

extern const mqlua_type mqlua_bytes_type; /* vm/buffer.h */

/* Pushes a view on size bytes at data, which must stay unchanged and valid until the serial of slot
 * grows; slot NULL: as long as the vm. data may be NULL when size is 0. Raises on lack of memory. */
void mqlua_bytes_push(lua_State *L, const char *data, size_t size, mqlua_slot *slot);

/* Pushes a buffer with size bytes of its own, and returns where the caller writes them before a script sees
 * it. Raises on lack of memory. */
char *mqlua_bytes_push_room(lua_State *L, size_t size);

/* Pushes a buffer with a copy of its own of size bytes at data. Raises on lack of memory. */
void mqlua_bytes_push_copy(lua_State *L, const char *data, size_t size);

/* Makes the buffer at index own its bytes, so that the slot may end. Owned and dead buffers are left as
 * they are. Raises when index holds no buffer, or on lack of memory; the view is unchanged then. */
void mqlua_bytes_detach(lua_State *L, int index);

/* Whether index holds a string, a live buffer, or an object that shows a text; then *data (borrowed from that
 * value) and *size are its bytes. Numbers are not converted. Never raises. */
bool mqlua_bytes_to(lua_State *L, int index, const char **data, size_t *size);

/* As luaL_checklstring, but takes a buffer too, and objects that show a text (mqlua_object_text). Raises for
 * a dead buffer, and for other types as Lua does. */
const char *mqlua_bytes_check(lua_State *L, int index, size_t *size);

/* __concat of buffers and of objects that show a text. */
int mqlua_bytes_l_concat(lua_State *L);
