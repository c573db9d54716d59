/* SPDX-License-Identifier: MIT */
#pragma once

/* Rejected connections: control is kept until the client leaves. */

#include "plugin/run.h"

/* Keeps control of a rejected connection for the hold time. */
void mqlua_hold_add(mqlua_run *run);
void mqlua_hold_remove(mqlua_run *run);

/* The state of the worker was made anew: held connections of old move to it. They only wait and need nothing
 * of old. */
void mqlua_hold_move(mqlua_worker *worker, mqlua_state *old);
