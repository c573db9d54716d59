/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The JSON of an incoming message: built once per recipient, changed by plugins, published.
 *
 * mime is stored and printed byte by byte (json_print.h). Mail may hold bytes that are no UTF-8; a published
 * line then is not valid JSON in the strict sense, as with a MailerQ that does the same. A consumer reads it
 * with a decoder that tolerates such bytes (Python: errors="surrogateescape"). Control characters, NUL and
 * line ends among them, are escaped, so one message is always one line.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "host/bytes.h"
#include "host/json_lib.h"

/* What all recipients of one message share. Strings are borrowed for the call; NULL = absent. */
struct host_message_facts {
    const char *envelope; /* NULL or "": the null sender */
    const char *hostname; /* of this server */
    time_t received;
    const char *local_ip;
    const char *remote_ip;
    uint16_t local_port;
    uint16_t remote_port;
    bool secure;
    const char *user; /* login of an authenticated connection */
    const char *dsn_ret;
    const char *dsn_envid;
    bool minimal; /* --json=minimal: envelope, recipient and mime only */
};

/* MIME with its x-mq-* headers taken out. */
struct host_message_mime {
    const char *data; /* what is to be published: the input itself, or owned.data */
    size_t size;
    struct host_bytes owned;  /* private: empty while nothing had to be taken out */
    struct host_bytes extras; /* private: "name\0value\0" for each header that was taken out */
};

enum { HOST_MESSAGE_ID_SIZE = 40 };

/* Takes x-mq-* headers out of mime and turns them into properties (unknown x-mq-foo into the key foo). With
 * extract false data is the input itself. The input must outlive *out. False without memory, *out is then
 * safe to free. */
bool host_message_json_extract(const char *mime, size_t size, bool extract, struct host_message_mime *out);

/* Releases what host_message_json_extract made. */
void host_message_json_extract_free(struct host_message_mime *mime);

/* The JSON of one recipient, a new reference; NULL without memory. Properties from x-mq-* headers come
 * last and do not touch what the server knows itself: the SMTP envelope wins. dsn_notify and dsn_orcpt (NULL
 * or "" = absent) are the parameters of this RCPT TO. */
host_json *host_message_json_build(const struct host_message_facts *facts,
                                   const struct host_message_mime *mime, const char *recipient,
                                   const char *message_id, const char *dsn_notify, const char *dsn_orcpt);

/* What must hold after the plugins: NULL when the JSON can be published, else static text that says why not.
 * given is the recipient that the client named, NULL for none. A recipient equal to given is accepted in any
 * form, because it is the client's and not the plugins' doing ("postmaster" has no domain). */
const char *host_message_json_check(host_json *json, const char *given);

/* A new message id, unique in this process and, as far as chance goes, elsewhere. Any thread. */
void host_message_json_id(char id[HOST_MESSAGE_ID_SIZE]);

enum { HOST_MESSAGE_TIME_SIZE = 20 };

/* MailerQ's notation of a time: UTC, YYYY-MM-DD HH:MM:SS. */
void host_message_json_time(time_t time, char text[HOST_MESSAGE_TIME_SIZE]);

/* The other way, strictly that notation; false otherwise. */
bool host_message_json_parse_time(const char *text, time_t *time);
