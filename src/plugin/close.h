/* SPDX-License-Identifier: MIT */
#pragma once

/* The end of an incoming connection. */

#include "plugin/worker.h"

/* The close of a connection: what was going on is abandoned, its handlers are called, and it ends. */
void mqlua_peer_close(mqlua_worker *worker, mqlua_peer *peer);
