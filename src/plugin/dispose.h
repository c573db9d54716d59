/* SPDX-License-Identifier: MIT */
#pragma once

/* How mq.discard and mq.quarantine are carried out. */

#include "plugin/run.h"

/* Write into the message's JSON what the verdict means, all of it or (reported) nothing. */
void mqlua_dispose_discard(mqlua_run *run, const char *reason);
void mqlua_dispose_quarantine(mqlua_run *run, const char *recipient, const char *reason);

/* Whether one of these was written into the message before: another plugin asked for the event once more
 * (MQ_retry). Incoming only. No header of a sender makes it look so, because those become texts. */
bool mqlua_dispose_done(mqlua_run *run);
