/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Where the parts of a message are. The structure is read here and not by GMime, because GMime makes objects
 * of everything before it can be asked how much there is, cannot be stopped, and does not say where each part
 * begins and ends. GMime reads what stands in the header fields.
 *
 * A part is known by its place in the list, which is the order of the text; part 0 is the message itself.
 * Offsets count from the beginning of the message. Any bytes can be read: what is no header is a body, and a
 * message always has a part.
 */

#include "mime/library.h"

typedef struct mqlua_mime_limits {
    size_t bytes;   /* of a message */
    size_t parts;   /* in all, multiparts too */
    size_t depth;   /* of parts in parts */
    size_t headers; /* fields of all headers together */
    size_t field;   /* bytes of a field that is interpreted */
} mqlua_mime_limits;

typedef enum mqlua_mime_kind {
    MQLUA_MIME_LEAF,
    MQLUA_MIME_MULTIPART,
    MQLUA_MIME_MESSAGE, /* its one child is the message in it */
} mqlua_mime_kind;

typedef struct mqlua_mime_part {
    mqlua_mime_kind kind;
    mqlua_mime_encoding encoding;
    int parent;    /* -1: none */
    size_t line;   /* where the boundary line before it begins; that of its header, where there is none */
    size_t header; /* where its header begins */
    size_t body;   /* where its body begins */
    size_t end;    /* behind its body, without the line end that belongs to the boundary line */
    size_t next;   /* where the boundary line behind it begins, or the end of what it is in */
    size_t close;  /* of a multipart: where its last boundary line begins, or should */
    bool closed;   /* of a multipart: it has that line */
    mqlua_texts type, disposition; /* as parameters gives them; count 0: there is no such field */
} mqlua_mime_part;

typedef enum mqlua_mime_result {
    MQLUA_MIME_OK,
    MQLUA_MIME_MEMORY,
    MQLUA_MIME_TOO_LARGE, /* the others: the limit of that name */
    MQLUA_MIME_TOO_MANY_PARTS,
    MQLUA_MIME_TOO_DEEP,
    MQLUA_MIME_TOO_MANY_HEADERS,
    MQLUA_MIME_FIELD_TOO_LARGE,
} mqlua_mime_result;

typedef struct mqlua_mime {
    mqlua_mime_part *parts; /* malloc'ed */
    size_t count, room;
} mqlua_mime;

/* Finds the parts of size bytes at data. mime is zeroed memory; mqlua_mime_free gives back what is in it,
 * whatever the result. Takes time in proportion to size, and limits.depth where lines begin with dashes. */
mqlua_mime_result mqlua_mime_scan(mqlua_mime *mime, const mqlua_mime_library *library,
                                  const mqlua_mime_limits *limits, const char *data, size_t size);
void mqlua_mime_free(mqlua_mime *mime);

/* A header field: its name, and its value as it stands there, from behind the colon to the end of its last
 * line. */
typedef struct mqlua_mime_field {
    size_t begin, end; /* of the whole field, its line end included */
    const char *name, *value;
    size_t name_size, value_size;
} mqlua_mime_field;

typedef enum mqlua_mime_line {
    MQLUA_MIME_FIELD,
    MQLUA_MIME_JUNK,  /* no field: a line without a name and colon, such as that of an mbox file */
    MQLUA_MIME_EMPTY, /* the header ends */
    MQLUA_MIME_END,   /* of the bytes */
} mqlua_mime_line;

/* What is at *at, which moves behind it. */
mqlua_mime_line mqlua_mime_next_line(const char *data, size_t size, size_t *at, mqlua_mime_field *field);

/* The same for who wants the fields alone: false at the end of the header. */
bool mqlua_mime_next_field(const char *data, size_t size, size_t *at, mqlua_mime_field *field);

/* A field's value as one line of UTF-8, for mqlua_mime_library: unfolded, trimmed; bytes that are no UTF-8
 * are read as windows-1252, NULs are spaces. malloc'ed; NULL on lack of memory. */
char *mqlua_mime_value(const char *value, size_t size);

/* The value of a parameter, or NULL. name is in small letters. */
const char *mqlua_mime_parameter(const mqlua_texts *parameters, const char *name);
