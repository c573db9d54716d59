/* SPDX-License-Identifier: MIT */

#include "plugin/close.h"
#include "plugin/peer.h"
#include "plugin/run.h"

void mqlua_peer_close(mqlua_worker *worker, mqlua_peer *peer)
{
    if (peer->run)
        mqlua_run_abandon(peer->run);
    mqlua_run_forget(worker, peer->host);
    mqlua_connection_cancel_jobs(&peer->connection);
    if (peer->connection.leases.count)
        mqlua_leases_end(&peer->connection.leases);
    mqlua_peer_unmap(worker, peer);
    if (peer->state && peer->state->env.registry->wanted & MQLUA_BIT(MQLUA_IN_CLOSE))
        mqlua_run_event(worker, MQLUA_IN_CLOSE, peer->host, peer, &(mqlua_arguments){0}); /* frees the peer */
    else
        mqlua_peer_free(worker, peer);
}
