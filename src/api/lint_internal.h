/* SPDX-License-Identifier: MIT */
#pragma once

/* What the parts of mqlua_lint share. */

#include "api/lint.h"
#include "vm/calls.h"

typedef struct lint {
    mqlua_state *state;
    mqlua_calls *calls;
    void (*found)(void *ud, mqlua_lint_kind kind, const char *text);
    void *ud;
    mqlua_event event;            /* of the handler that is looked at */
    const mqlua_handler *handler; /* likewise */
    lua_Debug function;           /* where the function that is read was written */
    bool rejects;                 /* it, or what it calls, makes a reject or tempfail */
    bool memory;                  /* was enough */
    struct noted *noted;          /* lint_values.c: uses of values that are to be judged */
    struct said *said;            /* likewise: what was found about them */
} lint;

__attribute__((format(printf, 3, 4))) void mqlua_lint_say(lint *l, mqlua_lint_kind kind, const char *format,
                                                          ...);

/* MQLUA_VERDICTS for a function of mq that makes none. */
mqlua_verdict_kind mqlua_lint_kind_of(const char *name);

/* Is the function with this reference written where the one is that is read? */
bool mqlua_lint_is_same(const lint *l, int reference);

/* Finds values that are wrong wherever they are, in the handler on top of the stack, which stays there, and
 * in the policy's functions that it calls. May raise. */
void mqlua_lint_values(lint *l, lua_State *L);
void mqlua_lint_values_free(lint *l);

/* Notes patterns that were surely meant as regular expressions, in a compiled file. False on lack of
 * memory. */
bool mqlua_lint_patterns(lint *l, const void *bytes, size_t size);
