/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The host's functions, found once at load through dlsym(RTLD_DEFAULT). There is no strong reference to
 * any MQ_*: a host that lacks one of them can still load the plugin.
 *
 * Every function except log belongs to the thread of the context involved.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct MQ_Context MQ_Context;
typedef struct MQ_Connection MQ_Connection;
typedef struct MQ_Message MQ_Message;
typedef struct MQ_Address MQ_Address;
typedef struct MQ_IOWatcher MQ_IOWatcher;
typedef struct MQ_Timer MQ_Timer;

enum { MQLUA_LOG_CRIT = 1, MQLUA_LOG_WARN = 2, MQLUA_LOG_INFO = 3 }; /* as MQ_CRIT, MQ_WARN, MQ_INFO */

typedef void (*mqlua_io_fn)(MQ_IOWatcher *watcher, int fd, int events, void *data);
typedef void (*mqlua_timer_fn)(void *data);

typedef struct mqlua_symbols {
    /* mandatory */
    void (*hand_continue)(MQ_Connection *);
    void (*hand_complete)(MQ_Connection *);
    void (*hand_retry)(MQ_Connection *);
    void *(*context_data)(MQ_Context *);
    void (*set_context_data)(MQ_Context *, void *);
    MQ_IOWatcher *(*io_watch)(MQ_Context *, int fd, int events, mqlua_io_fn, void *);
    void (*io_unwatch)(MQ_IOWatcher *);
    MQ_Timer *(*start_timer)(MQ_Context *, float seconds, mqlua_timer_fn, void *);
    void (*stop_timer)(MQ_Timer *);
    size_t (*send)(MQ_Connection *, const void *, size_t);
    void (*set_authenticated)(MQ_Connection *, bool);
    bool (*authenticated)(MQ_Connection *);
    bool (*secure)(MQ_Connection *);
    int (*file_descriptor)(MQ_Connection *);
    void *(*connection_data)(MQ_Connection *);
    void (*set_connection_data)(MQ_Connection *, void *);
    void *(*json)(MQ_Message *);
    void (*set_envelope)(MQ_Message *, const char *, size_t);
    void (*set_recipient)(MQ_Message *, const char *, size_t);
    const char *(*mime)(MQ_Message *);
    void (*set_mime)(MQ_Message *, const char *, size_t);
    const char *(*email)(MQ_Address *);
    /* optional: NULL where the host has none */
    void (*log)(int, const char *); /* before 5.6.5 */
    void *local;                    /* bool (void *): message or address, see settings host.local_api */
    void *set_local;                /* void (void *, bool) */
    void *recipient;                /* const char * or MQ_Address *, see settings host.address_api */
    void *envelope;
    atomic_bool log_ended; /* the host is through with us: what still works must not log there any more */
    /* found out */
    bool legacy; /* MQ_SmtpSend is there: MailerQ 2.1 or 3.0, stay passive */
} mqlua_symbols;

/* Fills the table. False when something mandatory is missing; then missing (size bytes) lists the names,
 * separated by ", ". Any thread; called once at load. */
bool mqlua_symbols_load(mqlua_symbols *symbols, char *missing, size_t size);
