/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Base64 (RFC 4648), hexadecimal digits, quoted-printable (RFC 2045) and percent-encoding (RFC 3986).
 * Everything works in pieces, so that whoever calls can stop in between. Nothing is allocated; pure, any
 * thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes 4 characters for each 3 bytes, and for the rest as many as it takes, padded with = where pad is
 * set. Pieces of a multiple of 3 bytes give the same as the whole. Returns how many were written. */
size_t mqlua_base64_encode(char *out, const char *data, size_t size, bool url, bool pad);

/* Zero is the beginning of a text. */
typedef struct mqlua_base64 {
    bool url;       /* the alphabet with - and _, and no white space */
    uint32_t bits;  /* that belong to no byte yet */
    unsigned held;  /* how many characters of four were met */
    unsigned equal; /* how many = */
} mqlua_base64;

/* Decodes the next piece; out has room for as many bytes. Returns where it stopped: size, or the offset of a
 * character that is not allowed there. *written is how many bytes out has. */
size_t mqlua_base64_decode(mqlua_base64 *state, char *out, size_t *written, const char *text, size_t size);

/* Whether the text may end here: padding is right or left out, and no bits are left over. */
bool mqlua_base64_ends(const mqlua_base64 *state);

/* Writes 2 * size small digits. */
void mqlua_hex_encode(char *out, const char *data, size_t size);

/* Writes size / 2 bytes, for an even size. Returns where it stopped: size, or the offset of what is no
 * digit. */
size_t mqlua_hex_decode(char *out, const char *text, size_t size);

enum { MQLUA_QP_LINE = 76 }; /* characters, without the line's end */

/* Encodes one byte of a text, the one at data[at]; out has room for 6 characters. *column is where the line
 * is (0 at first). binary: ends of lines are bytes like others. Returns how many were written; *used is how
 * many bytes of data they stand for (2 for CR LF). */
size_t mqlua_qp_encode(char *out, const char *data, size_t size, size_t at, size_t *column, bool binary,
                       size_t *used);

/* Decodes what is at text[at], which is not at the end; out has room for as many bytes as *used tells
 * afterwards: the characters that were read. What is no quoted-printable stays as it is. Returns how many
 * were written. A run of blanks is read as a whole. */
size_t mqlua_qp_decode(char *out, const char *text, size_t size, size_t at, size_t *used);

/* Writes up to 3 * size characters: letters, digits and -._~ as they are, others as %XX; form: a blank as +.
 * Returns how many. */
size_t mqlua_url_encode(char *out, const char *data, size_t size, bool form);

/* Decodes what is at text[at], which is not at the end, to one byte. A % that two digits do not follow stays;
 * form: + is a blank. *used is how many characters were read. */
char mqlua_url_decode(const char *text, size_t size, size_t at, bool form, size_t *used);
