/* SPDX-License-Identifier: MIT */

#include "base/ascii.h"
#include "base/utf8.h"
#include "mime/scan.h"

static size_t line_end(const char *data, size_t size, size_t at)
{
    const char *lf = memchr(data + at, '\n', size - at);
    return lf ? (size_t)(lf - data) + 1 : size;
}

/* The size of an empty line at at, or 0. */
static size_t empty_line(const char *data, size_t size, size_t at)
{
    if (data[at] == '\n')
        return 1;
    return data[at] == '\r' && at + 1 < size && data[at + 1] == '\n' ? 2 : 0;
}

/* The size of a field's name at at, up to the colon, with *colon behind it; 0: there is none. */
static size_t name_size(const char *data, size_t end, size_t at, size_t *colon)
{
    size_t i = at;
    while (i < end && data[i] > ' ' && data[i] < 127 && data[i] != ':')
        i++;
    size_t size = i - at;
    while (i < end && (data[i] == ' ' || data[i] == '\t'))
        i++;
    *colon = i;
    return i < end && data[i] == ':' ? size : 0;
}

mqlua_mime_line mqlua_mime_next_line(const char *data, size_t size, size_t *at, mqlua_mime_field *field)
{
    if (*at >= size)
        return MQLUA_MIME_END;
    size_t empty = empty_line(data, size, *at);
    if (empty) {
        *at += empty;
        return MQLUA_MIME_EMPTY;
    }
    size_t begin = *at, end = line_end(data, size, begin), colon;
    size_t named = name_size(data, end, begin, &colon);
    *at = end;
    if (!named)
        return MQLUA_MIME_JUNK;
    while (end < size && (data[end] == ' ' || data[end] == '\t'))
        end = line_end(data, size, end);
    *field = (mqlua_mime_field){begin, end, data + begin, data + colon + 1, named, end - colon - 1};
    *at = end;
    return MQLUA_MIME_FIELD;
}

bool mqlua_mime_next_field(const char *data, size_t size, size_t *at, mqlua_mime_field *field)
{
    mqlua_mime_line line;
    do
        line = mqlua_mime_next_line(data, size, at, field);
    while (line == MQLUA_MIME_JUNK);
    return line == MQLUA_MIME_FIELD;
}

static size_t put_point(char *to, unsigned point)
{
    if (point < 0x800) {
        to[0] = (char)(0xc0 | point >> 6);
        to[1] = (char)(0x80 | (point & 63));
        return 2;
    }
    to[0] = (char)(0xe0 | point >> 12);
    to[1] = (char)(0x80 | ((point >> 6) & 63));
    to[2] = (char)(0x80 | (point & 63));
    return 3;
}

/* What windows-1252 has where ISO 8859-1 has controls; 0: nothing. */
static const unsigned short specials[32] = {0x20ac, 0,      0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021,
                                            0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0,      0x017d, 0,
                                            0,      0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
                                            0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0,      0x017e, 0x0178};

static size_t put_byte(char *to, unsigned char byte, bool utf8)
{
    if (byte < 128 || utf8) {
        to[0] = byte ? (char)byte : ' ';
        return 1;
    }
    unsigned special = byte < 160 ? specials[byte - 128] : byte;
    return put_point(to, special ? special : 0xfffd);
}

char *mqlua_mime_value(const char *value, size_t size)
{
    while (size && mqlua_ascii_is_space(value[0]))
        value++, size--;
    while (size && mqlua_ascii_is_space(value[size - 1]))
        size--;
    bool utf8 = mqlua_utf8_is(value, size);
    char *made = malloc((utf8 ? size : size * 3) + 1), *to = made;
    if (!made)
        return NULL;
    for (size_t i = 0; i < size; i++)
        if (value[i] != '\r' && value[i] != '\n')
            to += put_byte(to, (unsigned char)value[i], utf8);
    *to = 0;
    return made;
}

const char *mqlua_mime_parameter(const mqlua_texts *parameters, const char *name)
{
    const char *text = parameters->data;
    for (size_t i = 1; i + 1 < parameters->count; i += 2) {
        text = mqlua_texts_next(text);
        const char *value = mqlua_texts_next(text);
        if (strcmp(text, name) == 0)
            return value;
        text = value;
    }
    return NULL;
}
