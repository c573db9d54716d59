/* SPDX-License-Identifier: MIT */
#pragma once

/* How mq.discard and mq.quarantine are carried out. */

#include "plugin/run.h"

/* Write into the message's JSON what the verdict means, all of it or (reported) nothing. */
void mqlua_dispose_discard(mqlua_run *run, const char *reason);
void mqlua_dispose_quarantine(mqlua_run *run, const char *recipient, const char *reason);
