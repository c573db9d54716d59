/* SPDX-License-Identifier: MIT */
#pragma once

/* Failures of scripts, told in the log: one line that says what and where, then the traceback. Rate-limited.
 */

#include "api/env.h"

/* what: "handler 'x' of smtp_in_rcptto failed". text: message, maybe with a traceback. Worker's thread. */
void mqlua_report(mqlua_env *env, const char *what, const char *text);
