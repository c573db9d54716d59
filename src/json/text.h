/* SPDX-License-Identifier: MIT */
#pragma once

#include <lua.h>

/*
 * JSON text for scripts: mq.json.decode(text) and mq.json.encode(value, {pretty=, sort_keys=}).
 *
 * decode takes a string or a buffer and any JSON value, not only arrays and objects. It returns the value, or
 * nil and "line L, column C: what is wrong". null is mq.null, so nil always means a failure. Of duplicate
 * keys the last one counts. Integers beyond 2^53 are int64_t; beyond 64 bits, like reals that no double can
 * hold, they are an error. Nesting is limited to 512 levels, values to two million (their memory is taken
 * outside of the script's limit while the text is parsed). Strings may have NULs, keys may not.
 *
 * encode returns the text; it raises with the path for what JSON cannot hold, strings that are not UTF-8
 * included.
 */

/* With the table mq on top of the stack: sets mq.null, mq.array, mq.object, mq.json. To be called once per
 * state, before any other function of src/json that takes this state. Raises on lack of memory. */
void mqlua_json_open(lua_State *L);

/* For lua_pushcfunction. */
int mqlua_text_l_decode(lua_State *L);
int mqlua_encode_l_encode(lua_State *L);
