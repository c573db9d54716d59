/* SPDX-License-Identifier: MIT */

#include "plugin/peer.h"
#include "plugin/states.h"
#include <stdlib.h>

static mqlua_peer *new_memory(mqlua_worker *worker)
{
    mqlua_peer *peer = calloc(1, sizeof *peer);
    if (!peer)
        return NULL;
    peer->connection.lane = &peer->lane;
    peer->lane.owner = &peer->connection;
    mqlua_lane_attach(&peer->lane, &worker->lanes);
    return peer;
}

static mqlua_peer *take_memory(mqlua_worker *worker, MQ_Connection *host)
{
    mqlua_peer *peer = SLIST_FIRST(&worker->spare_peers);
    if (peer)
        SLIST_REMOVE_HEAD(&worker->spare_peers, spare);
    else if (!(peer = new_memory(worker)))
        return NULL;
    mqlua_lane_renew(&peer->lane);
    peer->host = host;
    peer->run = NULL;
    peer->pinned = peer->delivered = false;
    peer->counted = 0;
    peer->state = worker->state;
    peer->mapped = mqlua_peers_add(&worker->peers, peer);
    if (!peer->mapped) {
        SLIST_INSERT_HEAD(&worker->spare_peers, peer, spare);
        return NULL;
    }
    return peer;
}

mqlua_peer *mqlua_peer_new(mqlua_worker *worker, MQ_Connection *host)
{
    mqlua_peer *peer = take_memory(worker, host);
    if (!peer)
        return NULL;
    mqlua_connection_init(&peer->connection, peer->state ? &peer->state->env : NULL, host, false);
    peer->connection.worker = (unsigned)worker->number;
    peer->connection.number = ++worker->connections;
    if (peer->state)
        peer->state->users++;
    if (worker->peers.count == 1)
        mqlua_worker_update_wanted(worker);
    return peer;
}

void mqlua_peer_unmap(mqlua_worker *worker, mqlua_peer *peer)
{
    if (!peer->mapped)
        return;
    peer->mapped = false;
    mqlua_peers_remove(&worker->peers, peer);
    if (!worker->peers.count)
        mqlua_worker_update_wanted(worker);
}

void mqlua_peer_free(mqlua_worker *worker, mqlua_peer *peer)
{
    mqlua_state *state = peer->state;
    mqlua_connection_end(&peer->connection);
    mqlua_peer_unmap(worker, peer);
    if (peer->connection.condemned && !--worker->condemned)
        mqlua_worker_update_wanted(worker);
    SLIST_INSERT_HEAD(&worker->spare_peers, peer, spare);
    if (state)
        mqlua_states_release(worker, state);
}
