/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Userdata types. A type is one static const struct; its methods, fields and metamethods are
 * registered once per vm. Fields that do not exist raise with the nearest known name.
 *
 * An object may stand for something that ends before Lua lets go of it (a connection, a message, a
 * chunk). Then it names a mqlua_slot: memory that stays valid as long as the vm, whose serial
 * changes when the thing ends. A dead object raises "<dead>", it never touches freed memory.
 */

#include "vm/vm.h"

typedef struct mqlua_slot {
    uint64_t serial; /* grows each time that the thing in the slot ends */
} mqlua_slot;

/* object is that at 1 on the stack, of the right type and alive. */
typedef struct mqlua_field {
    const char *name;
    int (*get)(lua_State *L, void *object); /* pushes one value, returns 1 */
    int (*set)(lua_State *L, void *object); /* the value is at 2; returns 0. NULL: read only */
} mqlua_field;

enum { MQLUA_FIELDS = 16 };

typedef struct mqlua_type {
    const char *name;          /* as scripts know it: "connection" */
    const char *dead;          /* error for use after the end: "connection is closed" */
    const mqlua_field *fields; /* ends with a NULL name, at most MQLUA_FIELDS; may be NULL */
    const luaL_Reg *methods;   /* ends with a NULL name; may be NULL */
    const luaL_Reg *meta;      /* metamethods other than __index and __newindex; may be NULL */
    /* The text that an object shows: string functions and .. take it for that. NULL: it shows none. The text
     * belongs to the object. */
    const char *(*text)(const void *object, size_t *size);
} mqlua_type;

/* What every object of ours begins with. */
typedef struct mqlua_object {
    const mqlua_type *type;
    mqlua_slot *slot; /* NULL: lives as long as Lua holds it */
    uint64_t serial;
} mqlua_object;

/* Makes the metatable of type in this state, once; must come before the first push. Raises on lack of memory.
 */
void mqlua_object_register(lua_State *L, const mqlua_type *type);

/* Pushes a new object of size bytes (at least sizeof(mqlua_object); the rest is zeroed) and returns it.
 * slot may be NULL. Raises on lack of memory. */
void *mqlua_object_push(lua_State *L, const mqlua_type *type, size_t size, mqlua_slot *slot);

/* The object at index, or raises: wrong type (luaL_argerror style), or dead. */
void *mqlua_object_check(lua_State *L, int index, const mqlua_type *type);

/* The object at index, or NULL when it is something else. *alive (may be NULL) tells whether it lives. Never
 * raises. */
void *mqlua_object_test(lua_State *L, int index, const mqlua_type *type, bool *alive);

/* The text that the object at index shows, which lives as long as it does. NULL when it shows none, is dead,
 * or is something else. Never raises. */
const char *mqlua_object_text(lua_State *L, int index, size_t *size);

/* The string at index where names are looked up: "?" for what is no string and what has a NUL byte, because
 * no name is like that. Lives as long as the string. Never raises. */
const char *mqlua_object_name(lua_State *L, int index);

/* Of a NULL-terminated list of names, the one nearest to name, or NULL when none is near. Never raises. */
const char *mqlua_object_nearest(const char *name, const char *const *names, size_t stride);

/* Pushes the table of methods of a registered type, so that methods written in Lua can be added while the
 * state is being set up. Raises when the type is not registered. */
void mqlua_object_push_methods(lua_State *L, const mqlua_type *type);
