/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How the clients fare with a generation on trial, so that one of them cannot have it rolled back. A client
 * is an IPv4 address or an IPv6 network of 64 bits; all whose address is hidden by a proxy are one. Bounded:
 * clients that find no place are not counted here.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MQLUA_CLIENTS = 4096 };

typedef struct mqlua_client {
    uint64_t key; /* 0: free */
    uint64_t generation;
    double seen; /* monotonic seconds */
    uint32_t transactions, failures;
} mqlua_client;

typedef struct mqlua_clients {
    pthread_mutex_t lock;            /* taken once for each transaction, and only during a trial */
    atomic_uint_fast64_t generation; /* on trial; 0: none */
    mqlua_client list[MQLUA_CLIENTS];
} mqlua_clients;

/* What came of the transactions of some clients. */
typedef struct mqlua_fate {
    uint64_t clients, failing;       /* that had transactions, and of these those with failures */
    uint64_t transactions, failures; /* without those of the client that failed most */
    bool several;                    /* more than one client was seen in the last hour */
} mqlua_fate;

/* NULL when memory is out. */
mqlua_clients *mqlua_clients_new(void);
void mqlua_clients_free(mqlua_clients *clients);

/* The trial of generation begins; 0: it ends. */
void mqlua_clients_watch(mqlua_clients *clients, uint64_t generation);

/* A transaction of the client at ip ("": not known) began, or one that was counted failed. Any thread. */
void mqlua_clients_note(mqlua_clients *clients, uint64_t generation, const char *ip, bool began, bool failed);

/* A copy of the list, to count from: MQLUA_CLIENTS items. */
void mqlua_clients_copy(mqlua_clients *clients, mqlua_client *list);

/* What happened since base was copied (NULL: since the trial of generation began) until list was. */
mqlua_fate mqlua_clients_fate(const mqlua_client *list, const mqlua_client *base, uint64_t generation,
                              double now);
