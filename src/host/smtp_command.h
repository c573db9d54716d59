/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One SMTP command line of a client, taken apart (RFC 5321, 1870, 3461, 4954, 6152, 6531).
 * Pure: no allocation, no state, any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum host_smtp_verb {
    HOST_SMTP_UNKNOWN,
    HOST_SMTP_EHLO,
    HOST_SMTP_HELO,
    HOST_SMTP_MAIL,
    HOST_SMTP_RCPT,
    HOST_SMTP_DATA,
    HOST_SMTP_RSET,
    HOST_SMTP_NOOP,
    HOST_SMTP_QUIT,
    HOST_SMTP_VRFY,
    HOST_SMTP_EXPN,
    HOST_SMTP_HELP,
    HOST_SMTP_STARTTLS,
    HOST_SMTP_AUTH,
    HOST_SMTP_BDAT,
};

enum host_smtp_error {
    HOST_SMTP_OK,
    HOST_SMTP_BAD_VERB,      /* 500: no such command */
    HOST_SMTP_BAD_BYTES,     /* 500: control character, or text that is not UTF-8 */
    HOST_SMTP_BAD_SYNTAX,    /* 501: argument missing, surplus or malformed */
    HOST_SMTP_BAD_SENDER,    /* 501: malformed address in MAIL FROM */
    HOST_SMTP_BAD_RECIPIENT, /* 501: malformed address in RCPT TO */
    HOST_SMTP_LONG_ADDRESS,  /* 501: local part, domain or path over the limits of RFC 5321 4.5.3.1 */
    HOST_SMTP_NEEDS_UTF8,    /* 553: an address beyond ASCII in MAIL FROM without SMTPUTF8 */
    HOST_SMTP_BAD_PARAMETER, /* 501: a known parameter with a malformed value, or given twice */
    HOST_SMTP_NO_PARAMETER,  /* 555: a parameter that is not known here */
};

enum host_smtp_body { HOST_SMTP_BODY_NONE, HOST_SMTP_BODY_7BIT, HOST_SMTP_BODY_8BITMIME };

enum {
    HOST_SMTP_LOCALPART_MAX = 64,
    HOST_SMTP_DOMAIN_MAX = 255,
    HOST_SMTP_ADDRESS_MAX = 64 + 1 + 255,
    HOST_SMTP_ENVID_MAX = 100, /* as xtext, RFC 3461 4.4 */
    HOST_SMTP_ORCPT_MAX = 500, /* as xtext, RFC 3461 4.2 */
};

struct host_smtp_command {
    enum host_smtp_verb verb;
    const char *argument; /* into the line that was parsed, trimmed; not NUL-terminated */
    size_t argument_size;

    /* MAIL and RCPT only; strings are NUL-terminated copies, "" when not given */
    char address[HOST_SMTP_ADDRESS_MAX +
                 1];   /* without <> and source route, else as written; "" = null sender */
    bool utf8_address; /* it has bytes beyond ASCII */
    bool has_size;
    uint64_t size; /* octets announced with SIZE= */
    enum host_smtp_body body;
    bool smtputf8;
    char auth[HOST_SMTP_ADDRESS_MAX + 3]; /* AUTH=, xtext decoded; "<>" when the client does not vouch */
    char ret[5];                          /* "FULL" or "HDRS" */
    char envid[HOST_SMTP_ENVID_MAX + 1];  /* xtext decoded */
    char notify[32];                      /* "NEVER", or SUCCESS, FAILURE, DELAY in upper case with commas */
    char orcpt[HOST_SMTP_ORCPT_MAX + 1];  /* "rfc822;addr", xtext decoded */
};

/* Parses one line without its line end (a lone trailing CR is a control character and an error).
 * Everything in *command is set, also after an error; the verb is set as soon as it was recognised. */
enum host_smtp_error host_smtp_command_parse(const char *line, size_t size,
                                             struct host_smtp_command *command);

/* The reply line that belongs to an error, such as "501 5.1.7 ...", static, without CRLF. */
const char *host_smtp_command_reply(enum host_smtp_error error);
