/* SPDX-License-Identifier: MIT */
#pragma once

/* An incoming connection of a worker: from the first event that needs it to its end. */

#include "plugin/worker.h"

/* The peer of an incoming connection; made when there is none (NULL: no memory). */
mqlua_peer *mqlua_peer_new(mqlua_worker *worker, MQ_Connection *host);

static inline mqlua_peer *mqlua_peer_get(mqlua_worker *worker, MQ_Connection *host)
{
    mqlua_peer *peer = mqlua_peers_find(&worker->peers, host);
    return peer ? peer : mqlua_peer_new(worker, host);
}

/* The host's pointer may mean another connection from now on. */
void mqlua_peer_unmap(mqlua_worker *worker, mqlua_peer *peer);
/* Ends the connection and gives the memory back to the worker. */
void mqlua_peer_free(mqlua_worker *worker, mqlua_peer *peer);
