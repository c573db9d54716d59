/* SPDX-License-Identifier: MIT */
#pragma once

/* What goes along from one generation to the next: plain values only. Both states belong to the calling
 * thread, which is not inside Lua in either. */

#include "api/connection.h"
#include "api/state.h"

/* Moves a connection to the state of env, with its vars and those of its transaction; objects of it that the
 * old state has are dead from here on. No task of it may be alive. */
void mqlua_move_connection(mqlua_connection *connection, mqlua_env *env);

/* Calls the reload handlers of from until one returns something, which becomes mq.generation.carried in to.
 */
void mqlua_move_carried(mqlua_state *from, mqlua_state *to);
