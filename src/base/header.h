/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The header of a message: what its fields are, and where it ends. Any thread; nothing is allocated, and the
 * results point into the message.
 *
 * A field is a name of printable ASCII characters, a colon, and text; blanks before the colon are allowed
 * (obsolete in RFC 5322). Lines that begin with a blank belong to the field before them. The header ends at
 * an empty line, and before a line that is neither: such a line is the body's first, as mail servers and
 * parsers see it. Three kinds of lines are no fields and end nothing: lines of a mailbox file at
 * the very begin ("From ", ">From "), a continuation without a field, and a line that begins with a colon.
 * Line ends are CRLF or LF.
 */

#include <stdbool.h>
#include <stddef.h>

/* Octets of a line of a header at most, without its end (RFC 5322, 2.1.1). */
enum { MQLUA_HEADER_LINE = 998 };

typedef struct mqlua_header_field {
    const char *name, *value; /* value: from behind the colon to the end of the last line, folds included */
    size_t name_size, value_size;
} mqlua_header_field;

/* The first line of the header: behind the lines of a mailbox file. */
const char *mqlua_header_begin(const char *mime, size_t size);

/* The field at *at, which moves behind it. False where the header ends: *at is then at the empty line, at
 * the first line of the body, or at end. */
bool mqlua_header_next(const char **at, const char *end, mqlua_header_field *field);

/* Whether text can be the name of a field. */
bool mqlua_header_is_name(const char *text, size_t size);

/* Whether there is an empty line at at, or nothing. */
bool mqlua_header_is_empty_line(const char *at, const char *end);
