/* SPDX-License-Identifier: MIT */
#pragma once

/* What the functions of mq.re share: their arguments, and groups as Lua values. */

#include "api/regex.h"

#include <lauxlib.h>

/* A call: the text at 1, the expression at 2, options at the index given. */
typedef struct mqlua_re_call {
    const char *text;
    size_t size;
    mqlua_regex *regex; /* on the stack */
} mqlua_re_call;

/* Reads the arguments; pushes the expression. all is the first upvalue. Raises for wrong ones. */
mqlua_re_call mqlua_re_begin(lua_State *L, int options);

/* Where a search begins that the optional table at index (ctx.pos, from 1) says. Beyond the text: size + 1.
 */
size_t mqlua_re_start(lua_State *L, int index, const mqlua_re_call *call);

/* Pushes group number of a match, or false where it is unset. */
void mqlua_re_push_group(lua_State *L, const mqlua_re_call *call, const size_t *offsets, uint32_t number);

/* Pushes a table of all groups, by number and name; with into above 0 it is the table at that index. */
void mqlua_re_push_groups(lua_State *L, const mqlua_re_call *call, const size_t *offsets, int into);

/* Pushes what a function returns that reached a limit: nils before the message, and the code "limit". */
int mqlua_re_push_limit(lua_State *L, int nils);

/* The flags for the letters of options at index. Raises for others. */
unsigned mqlua_re_options(lua_State *L, int index);
