/* SPDX-License-Identifier: MIT */

#include "mime/scan.h"
#include "base/ascii.h"

#include <stdint.h>

/* Texts of all parts together (types, parameters); more is no mail that somebody wrote. */
enum { TEXTS = 4 << 20 };

/* A boundary line, or the end of the message (level -1). */
typedef struct delimiter {
    size_t line; /* where it begins */
    size_t next; /* behind it */
    int level;   /* of the multipart that it belongs to */
    bool closes;
} delimiter;

/* A multipart that is open. */
typedef struct level {
    const char *boundary; /* in the texts of its part */
    size_t size;
} level;

typedef struct scanner {
    mqlua_mime *mime;
    const mqlua_mime_library *library;
    const mqlua_mime_limits *limits;
    const char *data;
    size_t size;
    size_t fields, texts;
    level *open; /* outermost first */
    int levels;
    mqlua_mime_result result;
} scanner;

static bool fail(scanner *s, mqlua_mime_result result)
{
    s->result = result;
    return false;
}

/* ---- boundary lines ---- */

/* Is the line from at to end the boundary line of this multipart? Blanks may stand behind it. */
static bool is_boundary(const scanner *s, size_t at, size_t end, const level *open, bool *closes)
{
    if (end - at < open->size + 2 || memcmp(s->data + at + 2, open->boundary, open->size) != 0)
        return false;
    at += open->size + 2;
    *closes = end - at >= 2 && s->data[at] == '-' && s->data[at + 1] == '-';
    if (*closes)
        at += 2;
    while (at < end && mqlua_ascii_is_space(s->data[at]))
        at++;
    return at == end;
}

/* Is the line at at a boundary line? The innermost multipart comes first: one that has the boundary of
 * another around it takes its lines. found->next is behind the line in any case. */
static bool is_delimiter(const scanner *s, size_t at, delimiter *found)
{
    const char *lf = memchr(s->data + at, '\n', s->size - at);
    size_t end = lf ? (size_t)(lf - s->data) : s->size;
    found->next = lf ? end + 1 : end;
    for (int i = s->levels - 1; i >= 0; i--)
        if (is_boundary(s, at, end, &s->open[i], &found->closes)) {
            found->line = at;
            found->level = i;
            return true;
        }
    return false;
}

static bool has_dashes(const scanner *s, size_t at)
{
    return s->size - at > 2 && s->data[at] == '-' && s->data[at + 1] == '-';
}

/* The first boundary line at or behind at, where a line begins. */
static delimiter find_delimiter(const scanner *s, size_t at)
{
    delimiter found;
    while (s->levels && at < s->size) {
        if (!has_dashes(s, at)) {
            const char *next = memmem(s->data + at, s->size - at, "\n--", 3);
            if (!next)
                break;
            at = (size_t)(next - s->data) + 1;
        }
        if (is_delimiter(s, at, &found))
            return found;
        at = found.next;
    }
    return (delimiter){s->size, s->size, -1, false};
}

/* The end of a body that begins at body and has the delimiter behind it, whose line end is not the body's. */
static size_t body_end(const scanner *s, size_t body, const delimiter *d)
{
    size_t end = d->line;
    if (d->level >= 0 && end > body && s->data[end - 1] == '\n')
        end--;
    if (d->level >= 0 && end > body && end < d->line && s->data[end - 1] == '\r')
        end--;
    return end;
}

/* ---- headers ---- */

static mqlua_mime_encoding encoding_of(const char *value)
{
    static const struct {
        const char *name;
        mqlua_mime_encoding encoding;
    } names[] = {{"base64", MQLUA_MIME_BASE64},
                 {"quoted-printable", MQLUA_MIME_QUOTED},
                 {"x-uuencode", MQLUA_MIME_UUENCODE},
                 {"uuencode", MQLUA_MIME_UUENCODE},
                 {"x-uue", MQLUA_MIME_UUENCODE}};
    size_t size = strcspn(value, " \t;(");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i].name) == size && mqlua_ascii_same(names[i].name, value, size))
            return names[i].encoding;
    return MQLUA_MIME_PLAIN;
}

static bool is_named(const mqlua_mime_field *field, const char *name)
{
    return field->name_size == strlen(name) && mqlua_ascii_same(field->name, name, field->name_size);
}

/* Reads a field of a part; the first of a name counts. */
static bool read_field(scanner *s, mqlua_mime_part *part, const mqlua_mime_field *field, bool *encoded)
{
    bool type = !part->type.count && is_named(field, "content-type");
    bool disposition = !part->disposition.count && is_named(field, "content-disposition");
    bool encoding = !*encoded && is_named(field, "content-transfer-encoding");
    if (!type && !disposition && !encoding)
        return true;
    if (field->value_size > s->limits->field || field->value_size > MQLUA_MIME_VALUE)
        return fail(s, MQLUA_MIME_FIELD_TOO_LARGE);
    char *value = mqlua_mime_value(field->value, field->value_size);
    if (!value)
        return fail(s, MQLUA_MIME_MEMORY);
    mqlua_texts *texts = type ? &part->type : &part->disposition;
    bool good = true;
    if (encoding)
        part->encoding = encoding_of(value), *encoded = true;
    else
        good = s->library->parameters(value, disposition, texts);
    free(value);
    if (!good)
        return fail(s, MQLUA_MIME_MEMORY);
    s->texts += encoding ? 0 : texts->size;
    return s->texts <= TEXTS || fail(s, MQLUA_MIME_FIELD_TOO_LARGE);
}

/* Reads the header at part->header, up to an empty line. Lines that are no fields are passed over, as other
 * readers do; where there is no empty line, the body begins with the first of them. *cut: a boundary line,
 * *d, ended the header, so that there is no body. */
static bool read_header(scanner *s, int number, delimiter *d, bool *cut)
{
    mqlua_mime_part *part = &s->mime->parts[number];
    mqlua_mime_field field;
    size_t at = part->header, junk = SIZE_MAX;
    bool encoded = false;
    for (;;) {
        size_t begin = at;
        *cut = s->levels && has_dashes(s, at) && is_delimiter(s, at, d);
        mqlua_mime_line line = *cut ? MQLUA_MIME_END : mqlua_mime_next_line(s->data, s->size, &at, &field);
        if (line == MQLUA_MIME_EMPTY || line == MQLUA_MIME_END) {
            bool whole = line == MQLUA_MIME_EMPTY || junk == SIZE_MAX;
            part->body = whole ? at : junk;
            return true;
        }
        if (line == MQLUA_MIME_JUNK)
            junk = junk < begin ? junk : begin;
        else if (++s->fields > s->limits->headers)
            return fail(s, MQLUA_MIME_TOO_MANY_HEADERS);
        else if (!read_field(s, part, &field, &encoded))
            return false;
    }
}

/* ---- parts ---- */

static bool add_part(scanner *s, int parent, size_t line, size_t header, int *number)
{
    mqlua_mime *mime = s->mime;
    if (mime->count == s->limits->parts)
        return fail(s, MQLUA_MIME_TOO_MANY_PARTS);
    if (mime->count == mime->room) {
        size_t room = mime->room ? mime->room * 2 : 8;
        mqlua_mime_part *parts = realloc(mime->parts, room * sizeof *parts);
        if (!parts)
            return fail(s, MQLUA_MIME_MEMORY);
        mime->parts = parts;
        mime->room = room;
    }
    *number = (int)mime->count++;
    mime->parts[*number] = (mqlua_mime_part){.parent = parent, .line = line, .header = header};
    return true;
}

static bool is_type(const mqlua_mime_part *part, const char *type)
{
    return part->type.count && strcmp(part->type.data, type) == 0;
}

/* A part without a type in a digest is a message. */
static bool is_message(const scanner *s, const mqlua_mime_part *part)
{
    if (part->encoding != MQLUA_MIME_PLAIN)
        return false; /* its bytes must be decoded first, which a policy may do */
    if (!part->type.count || !part->type.data[0])
        return part->parent >= 0 && is_type(&s->mime->parts[part->parent], "multipart/digest");
    return is_type(part, "message/rfc822") || is_type(part, "message/global") ||
           is_type(part, "message/news") || is_type(part, "text/rfc822-headers") ||
           is_type(part, "message/global-headers");
}

/* Without blanks behind it, which no boundary may end with and some senders write. */
static level boundary_of(const mqlua_mime_part *part)
{
    const char *text = mqlua_mime_parameter(&part->type, "boundary");
    size_t size = text ? strlen(text) : 0;
    while (size && mqlua_ascii_is_space(text[size - 1]))
        size--;
    return (level){text, size};
}

static mqlua_mime_kind kind_of(const scanner *s, const mqlua_mime_part *part)
{
    if (part->type.count && strncmp(part->type.data, "multipart/", 10) == 0 && boundary_of(part).size)
        return MQLUA_MIME_MULTIPART;
    return is_message(s, part) ? MQLUA_MIME_MESSAGE : MQLUA_MIME_LEAF;
}

static bool read_part(scanner *s, int parent, size_t line, size_t header, size_t depth, delimiter *d);

static bool read_multipart(scanner *s, int number, size_t depth, delimiter *d)
{
    int mine = s->levels;
    s->open[s->levels++] = boundary_of(&s->mime->parts[number]);
    *d = find_delimiter(s, s->mime->parts[number].body);
    while (d->level == mine && !d->closes)
        if (!read_part(s, number, d->line, d->next, depth, d))
            return false;
    s->levels = mine;
    mqlua_mime_part *part = &s->mime->parts[number];
    part->close = d->line;
    if ((size_t)number + 1 == s->mime->count) /* its boundary is nowhere: what it has is a body */
        part->kind = MQLUA_MIME_LEAF;
    part->closed = d->level == mine;
    if (part->closed)
        *d = find_delimiter(s, d->next);
    return true;
}

/* Reads the part whose header begins at header, and gives what ends it. The depth of calls is that of parts.
 */
static bool read_part(scanner *s, int parent, size_t line, size_t header, size_t depth, delimiter *d)
{
    int number;
    bool cut;
    if (depth == s->limits->depth)
        return fail(s, MQLUA_MIME_TOO_DEEP);
    if (!add_part(s, parent, line, header, &number))
        return false;
    if (!read_header(s, number, d, &cut))
        return false;
    mqlua_mime_part *part = &s->mime->parts[number];
    part->kind = cut ? MQLUA_MIME_LEAF : kind_of(s, part);
    if (part->kind == MQLUA_MIME_MULTIPART) {
        if (!read_multipart(s, number, depth + 1, d))
            return false;
    } else if (part->kind == MQLUA_MIME_MESSAGE) {
        if (!read_part(s, number, part->body, part->body, depth + 1, d))
            return false;
    } else if (!cut) {
        *d = find_delimiter(s, part->body);
    }
    part = &s->mime->parts[number]; /* the list may have moved */
    part->end = body_end(s, part->body, d);
    part->next = d->line;
    return true;
}

mqlua_mime_result mqlua_mime_scan(mqlua_mime *mime, const mqlua_mime_library *library,
                                  const mqlua_mime_limits *limits, const char *data, size_t size)
{
    scanner s = {.mime = mime, .library = library, .limits = limits, .data = data, .size = size};
    delimiter d;
    if (size > limits->bytes)
        return MQLUA_MIME_TOO_LARGE;
    s.open = malloc((limits->depth + 1) * sizeof *s.open);
    if (!s.open)
        return MQLUA_MIME_MEMORY;
    read_part(&s, -1, 0, 0, 0, &d);
    free(s.open);
    return s.result;
}

void mqlua_mime_free(mqlua_mime *mime)
{
    for (size_t i = 0; i < mime->count; i++) {
        mqlua_texts_free(&mime->parts[i].type);
        mqlua_texts_free(&mime->parts[i].disposition);
    }
    free(mime->parts);
    *mime = (mqlua_mime){0};
}
