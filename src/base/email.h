/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * E-mail addresses: how any text reads as one, what is one, and when two are the same.
 *
 * Reading takes everything, because it is for what peers sent and hosts accepted. The local part ends at the
 * last @ outside of quotes and comments. In it, quotes and backslashes are taken for what they mean, comments
 * and blanks outside of quotes are nothing, and a source route in front (@one,@two:joe@x) is nothing. What
 * only some servers understand is left as it is: joe%old@new, old!joe@new, joe+tag@x.
 *
 * A domain is compared in lower case (ASCII), without a trailing dot, with labels beyond ASCII as A-labels
 * (xn--...), and address literals as numbers: [IPv6:2001:DB8:0::1] is [ipv6:2001:db8::1]. Letters beyond
 * ASCII are made small in Latin, Greek and Cyrillic; what else IDNA maps (wide letters, combining marks) is
 * not.
 *
 * Nothing here takes memory, knows a locale or fails otherwise than said. Any thread.
 */

#include <stdbool.h>
#include <stddef.h>

/* RFC 5321 4.5.3.1: local part, domain, both. Bytes. */
enum { MQLUA_EMAIL_LOCAL = 64, MQLUA_EMAIL_DOMAIN = 255, MQLUA_EMAIL_SIZE = 254 };

/* Where the parts are in a text, which is borrowed. Offsets. */
typedef struct mqlua_email {
    const char *text;
    size_t size;
    size_t local, local_end;   /* behind a source route */
    size_t domain, domain_end; /* from behind the @; empty where there is none */
    bool plain;                /* both parts mean what is written, but for the case of letters */
} mqlua_email;

/* Reads any text; one pair of <> around it is nothing. A text of more than MQLUA_EMAIL_READ bytes, which no
 * server takes, is taken as plain. */
void mqlua_email_read(mqlua_email *email, const char *text, size_t size);

/* Bytes of text before a blank that is in no quotes and no comment: there, parameters of MAIL and RCPT begin.
 */
size_t mqlua_email_length(const char *text, size_t size);

/* Writes what the local part means; returns its size, at most that of the text. out has room for so much. */
size_t mqlua_email_local(const mqlua_email *email, char *out);

/* Writes the domain in lower case, without trailing dots, comments and blanks, and literals as above; labels
 * beyond ASCII become A-labels only if ascii. out has room for four times the text and MQLUA_EMAIL_MORE
 * bytes. Returns the size. */
enum { MQLUA_EMAIL_MORE = 72 };
size_t mqlua_email_domain(const mqlua_email *email, bool ascii, char *out);

/* Writes "[192.0.2.1]" or "[ipv6:2001:db8::1]" for an address literal, however it is spelt; at most 64 bytes.
 * Returns the size, 0 for anything else. */
size_t mqlua_email_literal(const char *text, size_t size, char *out);

/* What a text is known by in tables: the canonical form of an address, of @domain and of a domain name; any
 * other text is its own key. Letters of local parts stay in their case. Returns text itself or out; its size
 * goes into *key_size. */
enum { MQLUA_EMAIL_READ = 1000, MQLUA_EMAIL_KEY = 4 * MQLUA_EMAIL_READ + MQLUA_EMAIL_MORE };
const char *mqlua_email_key(const mqlua_email *email, size_t *key_size, char out[MQLUA_EMAIL_KEY]);

/* Are two the same mailbox? The case of local parts counts, as RFC 5321 has it; of a local part without
 * domain (postmaster) it does not, nor of any if any_case. */
bool mqlua_email_same(const mqlua_email *a, const mqlua_email *b, bool any_case);

/* NULL when text is a Mailbox of RFC 5321 (with UTF-8 as RFC 6531 allows it; underscores in names of hosts
 * are taken, too, because there are such hosts), and so what servers take in MAIL FROM and RCPT TO. Otherwise
 * what is wrong, for a message: "has no @". Static text. */
const char *mqlua_email_wrong(const char *text, size_t size);

/* The same for a domain alone, or an address literal in brackets. */
const char *mqlua_email_wrong_domain(const char *text, size_t size);

/* Writes a local part as it has to be in an address: in quotes only if it must. out has room for twice its
 * size and 2 bytes. Returns the size. */
size_t mqlua_email_quote(const char *local, size_t size, char *out);
