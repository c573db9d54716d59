/* SPDX-License-Identifier: MIT */
#pragma once

/* What a start, a reload and `mqlua check` ask before a policy may serve. */

#include "api/lint.h"

/* Reads and checks the policy at entry as a start or a reload would: snapshot, compile, run in a scratch
 * state. The sealed bundle (one reference), or NULL with *error; a handler that returns a verdict which its
 * event does not take is an error, too (api/lint.h). note (may be NULL) is told of everything else that
 * mqlua_lint finds. *seen (seen may be NULL) is one more reference to what was read, also when that does not
 * load; NULL when nothing could be read. Any thread. */
mqlua_bundle *mqlua_check_policy(const mqlua_env *proto, const char *entry,
                                 void (*note)(void *ud, mqlua_lint_kind kind, const char *text), void *ud,
                                 mqlua_bundle **seen, char **error);
