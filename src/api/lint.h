/* SPDX-License-Identifier: MIT */
#pragma once

/* What can be seen of a loaded policy before it meets traffic. docs/LUA_API.md ("Checking a policy") says
 * what is seen and what is not. */

#include "api/state.h"

typedef enum mqlua_lint_kind {
    MQLUA_LINT_WRONG,   /* a handler of an event that only observes returns a verdict, or a constant can never
                         * be right: the policy must not run */
    MQLUA_LINT_MISTAKE, /* a verdict without return, or one that the event does not take, or an address used
                         * as a text: what is meant will not happen */
    MQLUA_LINT_NOTE,    /* may be meant so */
} mqlua_lint_kind;

/* Tells found about everything that there is to say, one line each, with the place in front. state is a
 * loaded one, which no other thread uses; nothing in it runs. Not from inside Lua; found must not raise.
 * False on lack of memory. Where the bytecode of this LuaJIT is not understood, that is a note, and the rest
 * is not looked for. */
bool mqlua_lint(mqlua_state *state, void (*found)(void *ud, mqlua_lint_kind kind, const char *text),
                void *ud);
