/* SPDX-License-Identifier: MIT */
#pragma once

/* Verdicts carried out, with documented functions of the host only. */

#include "plugin/run.h"

/* Does what the verdict says. What remains is a hand-back or a hold. */
typedef enum mqlua_carried {
    MQLUA_CARRIED_CONTINUE,
    MQLUA_CARRIED_COMPLETE,
    MQLUA_CARRIED_RETRY,
    MQLUA_CARRIED_HOLD
} mqlua_carried;
mqlua_carried mqlua_carry(mqlua_run *run);

/* A condemned connection at a later event. */
mqlua_carried mqlua_carry_condemned(mqlua_run *run);

/* The message was refused in this transaction by a final reply of ours. */
bool mqlua_carry_refused(mqlua_run *run);
