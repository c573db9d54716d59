/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The SMTP dialogue of an outgoing connection. out_connection.c owns the connection's life, the stream and
 * the plugins' events; out_dialogue.c knows what to say next. Worker thread only.
 */

#include <ev.h>
#include <netinet/in.h>
#include <stdint.h>

#include "host/out_connection.h"
#include "host/reply.h"
#include "host/types.h"

/* Where the dialogue is: what a reply that comes now belongs to. */
enum host_out_state {
    HOST_OUT_CONNECT,
    HOST_OUT_INTRO,
    HOST_OUT_EHLO,
    HOST_OUT_HELO,
    HOST_OUT_STARTTLS,
    HOST_OUT_HANDSHAKE,
    HOST_OUT_AUTH,
    HOST_OUT_MAIL,
    HOST_OUT_RCPT,
    HOST_OUT_DATA, /* until the content goes out, the out_data event included */
    HOST_OUT_MESSAGE,
    HOST_OUT_RSET,
    HOST_OUT_IDLE,
};

struct host_out_connection {
    struct host_out_worker *home;
    struct host_stream *stream; /* NULL for what only waits for a hand-back */
    MQ_Connection *handle;
    struct host_delivery *delivery; /* NULL between messages */
    MQ_Message *message;            /* from out_data on; it then has the JSON of the delivery */
    enum host_out_state state;
    struct host_reply reply;
    ev_timer timer; /* for the peer's next reply, or the end of idleness */

    struct host_delivery target; /* only what host_delivery_same_target compares; strings are owned */
    int messages;                /* whose content went out */
    uint64_t sent_data;
    unsigned long long sent_before; /* bytes on the wire when the timer was looked at */
    ev_tstamp sent_at;              /* when the content was queued */
    char mta[256];
    char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];
    const char *authentication;
    bool tls_refused;
    struct {
        bool starttls, size, eightbit, utf8, dsn, plain;
    } offers;

    bool lost;       /* the peer is gone, but a plugin has control */
    bool recorded;   /* lost, and its attempt is recorded: the handles only wait for the hand-back */
    bool dead;       /* released when depth is zero */
    int depth;       /* functions of out_connection.c that are running for it */
    const char *why; /* with lost */
    struct host_out_connection *next, *previous;
};

/* out_dialogue.c */

/* Adds to result what is known about the attempt; with no description yet, the peer's reply. Everything is
 * borrowed from the connection. */
void host_out_dialogue_result(struct host_out_connection *connection, struct host_result *result);
/* The connection is up, or TLS on it. */
void host_out_dialogue_ready(struct host_out_connection *connection);
/* There is a complete reply. */
void host_out_dialogue_reply(struct host_out_connection *connection);
/* A delivery was given to an idle connection. */
void host_out_dialogue_start(struct host_out_connection *connection);

/* out_connection.c, for the dialogue */

/* Sends what is in text and a line end, then waits for the reply in that state. text is released. */
void host_out_connection_say(struct host_out_connection *connection, enum host_out_state state,
                             struct host_bytes *text);
/* Records the delivery's attempt. description NULL: the peer's reply says it. */
void host_out_connection_record(struct host_out_connection *connection, const char *result,
                                const char *description);
/* Starts the handshake; failing that, the attempt is recorded and the connection closed. */
void host_out_connection_starttls(struct host_out_connection *connection);
/* 354 came: out_data, the content, out_sent. */
void host_out_connection_send(struct host_out_connection *connection);
/* Ready for the next delivery. */
void host_out_connection_idle(struct host_out_connection *connection);
/* Closes, politely with QUIT. */
void host_out_connection_quit(struct host_out_connection *connection);
