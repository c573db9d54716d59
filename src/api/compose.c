/* SPDX-License-Identifier: MIT */

#include "api/compose.h"
#include "base/ascii.h"
#include "base/header.h"
#include "vm/bytes.h"
#include "vm/text.h"

#include <string.h>

bool mqlua_compose_has_fields(const char *mime, size_t size)
{
    const char *at = mqlua_header_begin(mime, size);
    mqlua_header_field field;
    return mqlua_header_next(&at, mime + size, &field);
}

/* ---- whole messages ---- */

/* What makes a whole message of bytes. */
typedef struct repair {
    size_t bare;      /* how many LF have no CR */
    bool strays;      /* there are NUL, or CR without LF */
    bool fields;      /* there is a field */
    size_t header;    /* size of the header */
    const char *ends; /* what is missing between header and body: line ends, or "" */
} repair;

static size_t count_bare(const char *bytes, const char *end)
{
    size_t count = 0;
    for (const char *at = bytes; (at = memchr(at, '\n', (size_t)(end - at))); at++)
        count += at == bytes || at[-1] != '\r';
    return count;
}

static bool is_stray(const char *at, const char *end)
{
    return !*at || (*at == '\r' && (at + 1 == end || at[1] != '\n'));
}

static bool has_strays(const char *bytes, const char *end)
{
    if (memchr(bytes, 0, (size_t)(end - bytes)))
        return true;
    for (const char *at = bytes; (at = memchr(at, '\r', (size_t)(end - at))); at++)
        if (is_stray(at, end))
            return true;
    return false;
}

static repair find_repair(const char *bytes, size_t size)
{
    const char *at = mqlua_header_begin(bytes, size), *end = bytes + size;
    repair found = {.ends = ""};
    mqlua_header_field field;
    while (mqlua_header_next(&at, end, &field))
        found.fields = true;
    found.header = (size_t)(at - bytes);
    if (at == end)
        found.ends = !size || end[-1] == '\n' ? "\r\n" : "\r\n\r\n";
    else if (!mqlua_header_is_empty_line(at, end) || is_stray(at, end))
        found.ends = "\r\n";
    found.bare = count_bare(bytes, end);
    found.strays = has_strays(bytes, end);
    return found;
}

static char *put_lines(char *to, const char *at, const char *end)
{
    for (const char *start = at; at < end; at++) {
        if (*at == '\n' && (at == start || at[-1] != '\r'))
            *to++ = '\r';
        *to++ = is_stray(at, end) ? ' ' : *at;
    }
    return to;
}

void mqlua_compose_check(lua_State *L, int index, bool headless)
{
    const char *bytes;
    size_t size;
    if (!mqlua_bytes_to(L, index, &bytes, &size))
        luaL_error(L, "mime must be a string or a buffer, got %s", luaL_typename(L, index));
    mqlua_vm_charge(L, size);
    repair found = find_repair(bytes, size);
    if (!found.fields && !headless)
        luaL_error(L, "mime must be a whole message: header fields, an empty line, and the body");
    size_t ends = strlen(found.ends);
    if (!found.bare && !found.strays && !ends)
        return;
    char *to = mqlua_bytes_push_room(L, size + found.bare + ends);
    to = put_lines(to, bytes, bytes + found.header);
    to = mempcpy(to, found.ends, ends);
    put_lines(to, bytes + found.header, bytes + size);
    lua_replace(L, index);
}

/* ---- one more field ---- */

/* Octets of a line without its end that mail software likes (RFC 5322, 2.1.1). */
enum { LINE_OCTETS = 78 };

/* The end of the word at at, with the blanks before it. */
static const char *word_end(const char *at, const char *end)
{
    while (at < end && *at == ' ')
        at++;
    while (at < end && *at != ' ')
        at++;
    return at;
}

/* Pushes the field with line ends before blanks where lines would become too long otherwise. */
static void push_field(lua_State *L, const char *name, size_t name_size, const char *text, size_t size)
{
    mqlua_text out;
    mqlua_text_init(&out, L);
    mqlua_text_add(&out, name, name_size);
    mqlua_text_add(&out, ":", 1);
    size_t column = name_size + 1;
    const char *end = text + size;
    for (const char *at = text, *stop; at < end; at = stop) {
        stop = word_end(at, end);
        size_t first = at == text ? 1 : 0, word = (size_t)(stop - at) + first;
        if (column + word > (first ? MQLUA_HEADER_LINE : LINE_OCTETS)) {
            mqlua_text_add(&out, "\r\n", 2);
            column = 0;
        }
        mqlua_text_add(&out, " ", first);
        mqlua_text_add(&out, at, (size_t)(stop - at));
        column += word;
    }
    mqlua_text_add(&out, "\r\n", 2);
    mqlua_text_push(&out);
}

static bool is_named(const mqlua_header_field *field, const char *name, size_t size)
{
    return field->name_size == size && mqlua_ascii_same(field->name, name, size);
}

/* The header of a message without the fields of one name. */
typedef struct rest {
    const char *name;
    size_t name_size;
    size_t size;     /* of what is kept */
    const char *end; /* of the header */
    bool open;       /* what is kept lacks its last line end */
} rest;

/* Copies what is kept of the header from at on to to, when that is no NULL. */
static void keep(rest *r, char *to, const char *at, const char *end)
{
    mqlua_header_field field;
    bool more = true;
    r->size = 0;
    r->open = false;
    while (more) {
        const char *start = at;
        more = mqlua_header_next(&at, end, &field);
        const char *stop = more && is_named(&field, r->name, r->name_size) ? field.name : at;
        if (to)
            memcpy(to + r->size, start, (size_t)(stop - start));
        if (stop > start)
            r->open = stop[-1] != '\n';
        r->size += (size_t)(stop - start);
    }
    r->end = at;
}

int mqlua_compose_l_add_field(lua_State *L)
{
    size_t size, name_size, text_size, field_size;
    const char *mime = mqlua_bytes_check(L, 1, &size);
    const char *name = luaL_checklstring(L, 2, &name_size), *text = luaL_checklstring(L, 3, &text_size);
    rest r = {.name = name,
              .name_size = lua_toboolean(L, 4) ? name_size : 0}; /* no field has an empty name */
    mqlua_vm_charge(L, size / 16 + text_size);
    push_field(L, name, name_size, text, text_size);
    const char *field = lua_tolstring(L, -1, &field_size);
    const char *begin = mqlua_header_begin(mime, size), *end = mime + size;
    keep(&r, NULL, begin, end);
    size_t line = r.open ? 2 : 0, before = (size_t)(begin - mime), body = (size_t)(end - r.end);
    char *to = mqlua_bytes_push_room(L, before + r.size + line + field_size + body);
    to = mempcpy(to, mime, before);
    keep(&r, to, begin, end);
    to = mempcpy(to + r.size, "\r\n", line);
    to = mempcpy(to, field, field_size);
    memcpy(to, r.end, body);
    return 1;
}
