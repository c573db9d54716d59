/* SPDX-License-Identifier: MIT */
#pragma once

/* Incoming SMTP sessions. Worker thread only. */

#include <stdbool.h>

struct host_worker;

/* Starts a session on an accepted socket (taken over). With tls the handshake comes first. */
void host_session_start(struct host_worker *worker, int fd, bool tls);

/* The worker stops: sessions without a pending event get 421, the others when theirs is over. */
void host_session_leave_all(struct host_worker *worker);

/* The grace is over: ends what is left. */
void host_session_cut_all(struct host_worker *worker);
