/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * JSON values as Lua values and back. Conventions are those of lua-cjson: null is a light userdata that is
 * NULL, arrays carry a metatable so that an empty one stays an array. Integers beyond 2^53 are int64_t (or
 * uint64_t) cdata. Strings are bytes; whether they are UTF-8 is not looked at.
 *
 * All functions that take a lua_State may raise; none yields. Errors name the path of the value. Long work is
 * charged to the run-time budget.
 */

#include "json/path.h"
#include "json/tree.h"

#include <lua.h>

/* Deeper values are refused in both directions. */
enum { MQLUA_VALUE_DEPTH = 512 };

/* Makes the metatables and the int64_t machinery, once per Lua state. FFI is loaded for it, but a script can
 * require it afterwards only if it could before. */
void mqlua_value_open(lua_State *L);

/* Anything but an array or object, as Lua or a tree has it. */
typedef struct mqlua_scalar {
    enum mqlua_tree_type type;
    bool boolean;
    bool beyond; /* the integer is above INT64_MAX: integer has the bits of an uint64_t */
    int64_t integer;
    double real;
    const char *string; /* borrowed from the Lua value or the node */
    size_t size;
} mqlua_scalar;

/* True: the value at index (not a pseudo index) is a scalar, and what it is. False: it is a table. Raises for
 * what JSON cannot hold. A double with an integral value is an integer. Buffers are strings. */
bool mqlua_value_scalar(lua_State *L, int index, const mqlua_path *path, mqlua_scalar *scalar);

/* The same for a node of a tree; raises nothing. */
bool mqlua_value_scalar_of(const mqlua_tree *tree, void *node, mqlua_scalar *scalar);

/* What the table at index is as JSON, MQLUA_TREE_ARRAY or MQLUA_TREE_OBJECT, and how many elements (holes
 * count: they are null) or members it has. Raises: mixed keys, too many holes, keys that JSON does not have,
 * a cycle, a depth over the limit. Enters the table into path. No metamethod is called: a script must not run
 * in the middle of a document. */
enum mqlua_tree_type mqlua_value_table(lua_State *L, int index, mqlua_path *path, size_t *count);

/* The key at index as the key of a member (mqlua_value_table has seen that it is a string); raises if it has
 * a NUL. */
const char *mqlua_value_key(lua_State *L, int index, const mqlua_path *path);

/* Pushes a node of a tree, nested values included. */
void mqlua_value_push(lua_State *L, const mqlua_tree *tree, void *node, const mqlua_path *path);
void mqlua_value_push_scalar(lua_State *L, const mqlua_scalar *scalar);

/* Pushes a deep copy of the value at index, in which every array has the metatable of arrays. */
void mqlua_value_copy(lua_State *L, int index, const mqlua_path *path);

/* The same for a value that goes to a script: NaN and infinity, which a tree of the host may have, are let
 * through. */
void mqlua_value_copy_out(lua_State *L, int index, const mqlua_path *path);

/* Makes the value at index a new node of the host's library. It goes to *owner as soon as it exists, where
 * whoever called must find and put it when this raises. */
void mqlua_value_build(lua_State *L, const mqlua_tree *tree, int index, const mqlua_path *path, void **owner);

/* For mqlua_copy (vm/copy.h): 64-bit integers, and the marks of arrays and objects. Neither raises in from.
 */
bool mqlua_value_carry(lua_State *from, int index, lua_State *to);
void mqlua_value_carry_mark(lua_State *from, int index, lua_State *to);

/* Makes the table on top of the stack an array, or an object. */
void mqlua_value_mark(lua_State *L, enum mqlua_tree_type type);

/* mq.array, mq.object: an argument (or a new table) marked as such. For lua_pushcfunction. */
int mqlua_value_l_array(lua_State *L);
int mqlua_value_l_object(lua_State *L);
