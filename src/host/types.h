/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the opaque types of mailerq.h are in the stand-in, and who owns them.
 *
 * Each handle starts with a tag. Dead handles go to a quarantine (quarantine.h) and are not used again, so a
 * plugin that keeps one too long is found out. Everything here belongs to the thread of its worker.
 */

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "mailerq.h"
#include "host/json_lib.h"

struct host;          /* host.h */
struct host_worker;   /* worker.h */
struct host_stream;   /* stream.h */
struct host_session;  /* session.h */
struct host_sentinel; /* sentinel.h */

enum host_kind {
    HOST_KIND_CONTEXT = 1,
    HOST_KIND_CONNECTION,
    HOST_KIND_MESSAGE,
    HOST_KIND_ADDRESS,
    HOST_KIND_WATCHER,
    HOST_KIND_TIMER,
};

/* First member of every handle. The first byte is 0xFF, so that a handle read as a string is garbage. */
struct host_handle {
    unsigned char mark[3]; /* 0xFF 'M' 'Q' */
    unsigned char kind;    /* enum host_kind */
    bool dead;
    const char *death; /* static text: what ended it */
    const void *site;  /* where the plugin ended it, if it did */
    struct host_worker *worker;
};

enum host_event {
    HOST_EVENT_NONE,
    HOST_EVENT_CONNECT,
    HOST_EVENT_SECURE,
    HOST_EVENT_AUTHENTICATE,
    HOST_EVENT_MAILFROM,
    HOST_EVENT_RCPTTO,
    HOST_EVENT_DATA,
    HOST_EVENT_MESSAGE,
    HOST_EVENT_CLOSE,
    HOST_EVENT_OUT_DATA,
    HOST_EVENT_OUT_SENT,
    HOST_EVENT_COUNT,
};

/* What an event hands to the plugins; only the members of that event are looked at. All are borrowed until
 * the chain is done. Buffers are shown to plugins as copies next to a guard page. */
struct host_arguments {
    const char *login; /* AUTHENTICATE */
    size_t login_size;
    const char *password; /* NULL allowed */
    size_t password_size;
    const char *address; /* MAILFROM, RCPTTO: bare; NULL or "" = null sender */
    const char *data;    /* DATA */
    size_t data_size;
    MQ_Message *message; /* MESSAGE, OUT_DATA, OUT_SENT */
};

/* The end of a chain. The connection may be paused no more; the callback may run the next chain or
 * free the connection. */
typedef void (*host_chain_done)(MQ_Connection *connection, void *data);

enum host_chain_state {
    HOST_CHAIN_IDLE,
    HOST_CHAIN_CALLING, /* inside a plugin's callback */
    HOST_CHAIN_PAUSED,  /* a callback returned true */
    HOST_CHAIN_DUE,     /* handed back, goes on from the loop (continue=deferred) */
};

enum host_handback {
    HOST_HANDBACK_NONE,
    HOST_HANDBACK_CONTINUE,
    HOST_HANDBACK_COMPLETE,
    HOST_HANDBACK_RETRY
};

/* The walk of one event through the plugins. */
struct host_chain {
    enum host_chain_state state;
    enum host_event event;
    struct host_arguments arguments;
    host_chain_done done;
    void *data;
    int plugin; /* the one that is called or holds the pause */
    int retries;
    enum host_handback early;    /* handed back inside the callback (sync-continue=allow) */
    enum host_handback handback; /* the one that is DUE */
    bool was_paused;             /* the latest callback returned true: tells CF2 from CF3 */
    const void *handback_site;   /* where it was handed back */
    ev_tstamp paused_at;
    ev_timer due;
    bool rcpt_local; /* RCPTTO: MQ_setLocal(address, true) was called */
};

enum host_direction { HOST_INCOMING, HOST_OUTGOING };

struct MQ_Connection {
    struct host_handle handle;
    enum host_direction direction;
    struct host_stream *stream; /* NULL once it is closed */
    void *owner;                /* struct host_session, or what the outgoing side keeps */
    struct host_chain chain;
    MQ_Message *message; /* the one in the current chain, for the checks after each callback */
    bool authenticated;
    bool closed;                    /* the close event is running or over: no MQ_send, no file descriptor */
    bool remembered;                /* lost during a pause with disconnect=close-after-handback or no-close */
    bool sent;                      /* a plugin called MQ_send during the current event */
    int sent_code;                  /* code at the start of what it sent first; 0 = none */
    struct host_sentinel *sentinel; /* what MQ_fileDescriptor handed out; NULL = nothing yet; owned */
    void **plugin_data;             /* one pointer for each plugin */
};

struct MQ_Address {
    struct host_handle handle;
    MQ_Message *message;       /* the message it belongs to; NULL for mailfrom and rcptto */
    MQ_Connection *connection; /* for rcptto: takes the local mark */
    bool empty;                /* the null sender */
    const char *email;         /* text, or NULL for a null sender shown as NULL */
    size_t size;               /* of text */
    char text[];
};

struct MQ_Message {
    struct host_handle handle;
    MQ_Connection *connection;
    host_json *json; /* two references while plugins may touch it: see message.c */
    bool outgoing;
    bool local;      /* MQ_setLocal */
    bool frozen;     /* out_sent: setters abort */
    char *envelope;  /* outgoing: set by MQ_setEnvelope, else NULL; owned */
    char *recipient; /* outgoing: set by MQ_setRecipient, else NULL; owned */
    char *mime;      /* outgoing: set by MQ_setMime, else NULL; owned, NUL-terminated */
    size_t mime_size;
    MQ_Address *addresses[2]; /* handed out by MQ_envelope and MQ_recipient; owned */
    char *strings[2];         /* the same with recipient=string; owned */
};

struct MQ_IOWatcher {
    struct host_handle handle;
    ev_io io;
    int fd;
    int events; /* EV_READ, EV_WRITE */
    dev_t device;
    ino_t inode; /* what the descriptor was when it was watched: finds one closed and opened again */
    int plugin;
    void (*callback)(MQ_IOWatcher *watcher, int fd, int events, void *data);
    void *data;
    const void *site;
    MQ_IOWatcher *next, *previous;
};

struct MQ_Timer {
    struct host_handle handle;
    ev_timer timer;
    int plugin;
    void (*callback)(void *data);
    void *data;
    const void *site;
    MQ_Timer *next, *previous;
};

struct MQ_Context {
    struct host_handle handle;
    void **plugin_data; /* one pointer for each plugin */
};
