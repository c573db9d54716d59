/* SPDX-License-Identifier: MIT */
#pragma once

/* Verdicts: immutable values that a handler returns. What they do to the host is in plugin/carry.c. */

#include "api/env.h"
#include "mq/event.h"
#include "vm/object.h"

typedef enum mqlua_verdict_kind {
    MQLUA_VERDICT_DONE,
    MQLUA_VERDICT_COMPLETE,
    MQLUA_VERDICT_RERUN,
    MQLUA_VERDICT_ACCEPT,
    MQLUA_VERDICT_DENY,
    MQLUA_VERDICT_REJECT,
    MQLUA_VERDICT_TEMPFAIL,
    MQLUA_VERDICT_DISCONNECT,
    MQLUA_VERDICT_DISCARD,
    MQLUA_VERDICT_QUARANTINE,
    MQLUA_VERDICT_HOLD,
    MQLUA_VERDICTS
} mqlua_verdict_kind;

typedef struct mqlua_verdict {
    mqlua_object object;
    mqlua_verdict_kind kind;
    const char *text;   /* reply line without CRLF, recipient or reason: inside the object, NUL-terminated */
    const char *reason; /* quarantine: the second argument */
    char bytes[];
} mqlua_verdict;

extern const mqlua_type mqlua_verdict_type;

/* Adds mq.done, mq.reject and the others to the table mq on top of the stack. May raise. */
void mqlua_verdict_open(lua_State *L);

/* "mq.reject", for messages. */
const char *mqlua_verdict_name(mqlua_verdict_kind kind);

/* NULL when the verdict may be returned at event; else a message that says where it belongs and what to use
 * here. The text lies in buffer. */
const char *mqlua_verdict_misplaced(mqlua_verdict_kind kind, mqlua_event event,
                                    const mqlua_settings *settings, char *buffer, size_t size);

/* Verdicts made but not yet returned in the current run of a handler: to warn about a forgotten return. */
typedef struct mqlua_made {
    int count;
    mqlua_verdict_kind kind;
    mqlua_task *task; /* the one that made the last one: others run while a handler waits */
    char where[128];  /* file:line of the last one */
} mqlua_made;

/* NULL when a reply of this kind may have the code, and every kind without a reply; else what is wrong, for a
 * message: "must be a code from 500 to 599, got 452 (use mq.tempfail)". The text lies in buffer. */
const char *mqlua_verdict_wrong_code(mqlua_verdict_kind kind, int code, char *buffer, size_t size);

/* The same for the enhanced status code of the reply. */
const char *mqlua_verdict_wrong_status(mqlua_verdict_kind kind, const char *status, char *buffer,
                                       size_t size);
