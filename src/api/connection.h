/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Connections as a policy sees them. The host's functions are called only while one of its callbacks for
 * this connection runs (fresh); what is read later comes from what was seen before the first park.
 */

#include "api/address.h"
#include "api/env.h"
#include "api/lease.h"
#include "vm/object.h"

typedef struct mqlua_names {
    char **list; /* malloc'ed */
    size_t count;
} mqlua_names;

typedef struct mqlua_transaction {
    mqlua_slot slot; /* moves on at every MAIL FROM */
    bool open;
    char *envelope;         /* NULL: the null sender */
    mqlua_names recipients; /* offered so far */
    mqlua_names refused;    /* those answered with a final reply of ours (reply_after_send = never) */
    mqlua_names kept;       /* recipients of its messages that were let through, where some were refused */
    char *kept_id;          /* of the last one of these; malloc'ed */
    bool discard;           /* everything of this transaction: its sender or data were refused so */
    bool disposed;          /* one of its messages was discarded or quarantined */
    bool answered;          /* DATA has its reply: what else comes of it is not judged */
    int object, vars;       /* registry references in the connection's vm, or LUA_NOREF */
} mqlua_transaction;

typedef struct mqlua_endpoint {
    bool known;  /* the host was asked */
    char ip[46]; /* "" : it could not say */
    int port;
} mqlua_endpoint;

typedef struct mqlua_connection {
    mqlua_slot slot;
    MQ_Connection *host; /* NULL: closed */
    mqlua_env *env;      /* of the generation that it is pinned to */
    bool outgoing, fresh, condemned, seen;
    bool secure, authenticated;
    unsigned worker;           /* its number, */
    unsigned long long number; /* and that of the connection there: together the id */
    char *login;               /* the one accepted last; malloc'ed */
    mqlua_endpoint remote, local;
    bool proxied;     /* the peer is one of host.proxies */
    int object, vars; /* registry references in env->vm, or LUA_NOREF */
    mqlua_transaction transaction;
    mqlua_task *jobs; /* the group of connection:spawn; NULL: there were none */
    mqlua_lane
        *lane; /* of its tasks; borrowed, set before mqlua_connection_init, and good until the worker ends */
    mqlua_leases leases; /* mq.concurrency */
} mqlua_connection;

/* A zeroed struct becomes a connection of env. */
void mqlua_connection_init(mqlua_connection *connection, mqlua_env *env, MQ_Connection *host, bool outgoing);

/* The end: every object of it is dead from here on; frees what it holds, but not the struct. Not from inside
 * Lua. */
void mqlua_connection_end(mqlua_connection *connection);

/* Ends what connection:spawn started. Not from inside Lua. */
void mqlua_connection_cancel_jobs(mqlua_connection *connection);
static inline bool mqlua_connection_has_jobs(const mqlua_connection *connection)
{
    return connection->jobs && mqlua_task_has_children(connection->jobs);
}

/* Lets go of what the state of env has of it: before env ends, or is another one. Not from inside Lua. */
void mqlua_connection_forget(mqlua_connection *connection);

/* Reads from the host what scripts may ask for after a park. Fresh only. */
void mqlua_connection_see(mqlua_connection *connection);

/* The address of the client; "" when it is not known, or a proxy stands in front of it. Reads it from the
 * host while the connection is fresh. Good as long as the connection. */
const char *mqlua_connection_client(mqlua_connection *connection);

/* MAIL FROM: a new transaction. False on lack of memory. */
bool mqlua_transaction_begin(mqlua_connection *connection, const char *envelope);
void mqlua_transaction_end(mqlua_connection *connection);
bool mqlua_names_add(mqlua_names *names, const char *name);
/* How many of names are spellings of the mailbox of name: without brackets, quotes and a dot at the end,
 * whatever the case of ASCII letters. */
size_t mqlua_names_count(const mqlua_names *names, const char *name);

/* Remembers the login that was accepted. */
void mqlua_connection_set_login(mqlua_connection *connection, const char *login, size_t size);

/* Pushes the one object of the connection. Raises on lack of memory. */
void mqlua_connection_push(lua_State *L, mqlua_connection *connection);

/* The incoming connection whose object is at index; raises for anything else, and says that field needs one.
 */
mqlua_connection *mqlua_connection_check(lua_State *L, int index, const char *field);

void mqlua_connection_open(lua_State *L);
