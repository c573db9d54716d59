/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the files of the session share: session.c (life and loop), session_command.c (the table of commands),
 * session_auth.c, session_data.c (DATA and publishing). Worker thread only.
 *
 * A session is a loop over steps. A step looks at its phase, does one thing and says whether another step may
 * follow; while a chain is active there are no steps. The end of a chain is a function of the event that sets
 * the phase; then the steps go on.
 */

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/bytes.h"
#include "host/chain.h"
#include "host/dotstream.h"
#include "host/message_json.h"
#include "host/smtp_command.h"
#include "host/types.h"

enum host_phase {
    HOST_PHASE_PROXY,     /* the balancer's header */
    HOST_PHASE_TLS,       /* implicit TLS: the handshake is to be started */
    HOST_PHASE_HANDSHAKE, /* wait for it */
    HOST_PHASE_CONNECT,   /* the event is due */
    HOST_PHASE_SECURE,    /* the event is due */
    HOST_PHASE_BANNER,
    HOST_PHASE_COMMAND,
    HOST_PHASE_AUTH, /* a line with credentials follows */
    HOST_PHASE_DATA,
    HOST_PHASE_CHECK,   /* the whole message is here: judge it, then publish it */
    HOST_PHASE_PUBLISH, /* recipient after recipient */
};

enum { HOST_OPENING_MAX = 8, HOST_LINE_MAX = 2048, HOST_AUTH_LINE_MAX = 12288, HOST_DATA_LINE_MAX = 65536 };

/* What to do after an event in which a plugin may have called MQ_send (knob reply-after-send). */
enum host_answer {
    HOST_ANSWER_REPLY,   /* the host replies as always */
    HOST_ANSWER_SILENT,  /* the plugin replied: the command worked */
    HOST_ANSWER_REFUSED, /* the plugin replied with 4xx or 5xx: the command did not work */
    HOST_ANSWER_CLOSE,
};

struct host_recipient {
    char *address;
    bool local;
    char *notify; /* DSN, NULL = not given */
    char *orcpt;
    char id[HOST_MESSAGE_ID_SIZE];
};

/* From MAIL FROM to the end of DATA. */
struct host_transaction {
    bool open;
    char *sender;  /* "" = null sender */
    bool smtputf8; /* it said so: recipients may be beyond ASCII too */
    char ret[8];
    char envid[HOST_SMTP_ENVID_MAX + 1];
    struct host_recipient *recipients;
    size_t recipient_count, recipient_room;
    struct host_smtp_command pending; /* the command whose event runs */

    struct host_dotstream dots;
    struct host_bytes mime; /* as it will be published */
    struct host_bytes raw;  /* what mq_smtp_in_data is still to see, if it is not the same */
    bool data_over;         /* the end of data was seen */
    bool plugin_replied;    /* during DATA, with reply-after-send=suppress or close */
    bool plugin_refused;    /* and it was a refusal */
    bool plugin_objected;   /* the same, whether or not this host knows */
    bool close_after;
    struct host_message_mime extracted;
    MQ_Message *message; /* of the recipient whose event runs */
    size_t published;
    bool publish_failed;
    bool replied;      /* message-after-reply */
    bool acknowledged; /* the client was told that all is well: what is not published by now must not be lost
                        */
};

enum host_auth_step { HOST_AUTH_PLAIN, HOST_AUTH_LOGIN_USER, HOST_AUTH_LOGIN_PASSWORD };

struct host_auth {
    enum host_auth_step step;
    char *login;
    size_t login_size;
    char *password;
    size_t password_size;
    int failures;
};

struct host_session {
    struct host_worker *worker;
    MQ_Connection *connection;
    struct host_stream *stream; /* NULL once closed */
    struct host_session *next, *previous;
    ev_timer idle;
    ev_timer more;                             /* the steps go on in the next turn of the loop */
    enum host_phase opening[HOST_OPENING_MAX]; /* the phases before the first command, in order */
    int opened;
    enum host_phase phase;
    bool tls;        /* implicit */
    bool introduced; /* the connect event was run */
    bool greeted;
    bool skipping;              /* the rest of a line that is too long */
    bool lost;                  /* the peer is gone */
    bool told_to_leave;         /* the worker stops */
    bool silent;                /* no close event (disconnect=no-close) */
    bool over;                  /* freed when the loop of steps ends */
    bool closing;               /* the close event runs */
    bool advancing;             /* inside host_session_advance, or the end of an event */
    host_chain_done event_done; /* of the event that runs */
    int errors;                 /* refused commands in a row */
    char *user;                 /* login of an authenticated session */
    char remote_ip[46], local_ip[46];
    uint16_t remote_port, local_port;
    struct host_bytes proxy_header; /* as far as it has come */
    struct host_auth auth;
    struct host_transaction transaction;
};

/* Steps until there is no input, an event is pending, or the session is over (then it is freed: do not touch
 * it afterwards). */
void host_session_advance(struct host_session *session);

/* Queues "text\r\n". */
void host_session_reply(struct host_session *session, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Ends the session after what is queued was sent; the close event follows. */
void host_session_end(struct host_session *session);

/* Offers an event. done gets the session as data; it may end the session, and the steps go on behind it. */
void host_session_offer(struct host_session *session, enum host_event event,
                        const struct host_arguments *arguments, host_chain_done done);

/* Judges what plugins sent during the event that just ended. */
enum host_answer host_session_answer(const struct host_session *session);

/* Takes the next line, without CRLF; NULL when there is none yet or the session ended over it.
 * Good until the next one is taken. */
const char *host_session_line(struct host_session *session, size_t *size, size_t limit);

/* Drops sender, recipients and message. */
void host_session_reset(struct host_session *session);

/* Handles one command line. */
void host_session_command(struct host_session *session, const char *line, size_t size);

/* AUTH: the command, a further line, the wiping. */
void host_session_auth_command(struct host_session *session, const struct host_smtp_command *command);
void host_session_auth_line(struct host_session *session, const char *line, size_t size);
/* Says why and goes back to commands; after too many failures the session ends. */
void host_session_auth_failed(struct host_session *session, const char *reply);
void host_session_auth_free(struct host_session *session);
/* True when AUTH is offered, and when mail for others needs it. */
bool host_session_auth_offered(const struct host_session *session);
bool host_session_auth_required(const struct host_session *session);

/* DATA: the command, and one step of the phases DATA, CHECK and PUBLISH (false: nothing to do now). */
void host_session_data_command(struct host_session *session);
bool host_session_data_step(struct host_session *session);
bool host_session_check_step(struct host_session *session);
bool host_session_publish_step(struct host_session *session);

/* True while a client was promised that its message is published and some of that is still to be done. Such a
 * session goes on whatever the client does, and is over when it kept the promise. */
bool host_session_owes(const struct host_session *session);

/* Says on stderr which acknowledged messages were not published, because of why, and counts them. */
void host_session_note_losses(struct host_session *session, const char *why);
