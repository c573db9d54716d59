/* SPDX-License-Identifier: MIT */

#include "base/header.h"
#include <string.h>

static bool is_name_byte(char c)
{
    return c > ' ' && c < 0x7f && c != ':';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static const char *line_end(const char *at, const char *end)
{
    const char *lf = memchr(at, '\n', (size_t)(end - at));
    return lf ? lf + 1 : end;
}

/* Behind the line at at and the lines that continue it. */
static const char *field_end(const char *at, const char *end)
{
    do
        at = line_end(at, end);
    while (at < end && is_blank(*at));
    return at;
}

bool mqlua_header_is_name(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!is_name_byte(text[i]))
            return false;
    return size > 0;
}

bool mqlua_header_is_empty_line(const char *at, const char *end)
{
    return at == end || *at == '\n' || (*at == '\r' && (at + 1 == end || at[1] == '\n'));
}

const char *mqlua_header_begin(const char *mime, size_t size)
{
    const char *end = mime + size;
    for (const char *at = mime;; at = mime) {
        while (at < end && *at == '>')
            at++;
        if (end - at < 5 || memcmp(at, "From ", 5) != 0)
            return mime;
        mime = line_end(at, end);
    }
}

bool mqlua_header_next(const char **at, const char *end, mqlua_header_field *field)
{
    while (!mqlua_header_is_empty_line(*at, end)) {
        const char *start = *at, *name_end = start;
        if (*start == ':' || is_blank(*start)) {
            *at = field_end(start, end);
            continue;
        }
        while (name_end < end && is_name_byte(*name_end))
            name_end++;
        const char *colon = name_end;
        while (colon < end && is_blank(*colon))
            colon++;
        if (name_end == start || colon == end || *colon != ':')
            return false;
        *at = field_end(colon, end);
        *field =
            (mqlua_header_field){start, colon + 1, (size_t)(name_end - start), (size_t)(*at - colon - 1)};
        return true;
    }
    return false;
}
