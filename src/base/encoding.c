/* SPDX-License-Identifier: MIT */

#include "base/encoding.h"
#include "base/ascii.h"

#include <string.h>

/* ---- base64 ---- */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char alphabet_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t mqlua_base64_encode(char *out, const char *data, size_t size, bool url, bool pad)
{
    const char *letters = url ? alphabet_url : alphabet;
    const unsigned char *in = (const unsigned char *)data;
    char *begin = out;
    for (; size >= 3; in += 3, size -= 3) {
        *out++ = letters[in[0] >> 2];
        *out++ = letters[(in[0] & 3) << 4 | in[1] >> 4];
        *out++ = letters[(in[1] & 15) << 2 | in[2] >> 6];
        *out++ = letters[in[2] & 63];
    }
    if (!size)
        return (size_t)(out - begin);
    *out++ = letters[in[0] >> 2];
    *out++ = letters[(in[0] & 3) << 4 | (size == 2 ? in[1] >> 4 : 0)];
    if (size == 2)
        *out++ = letters[(in[1] & 15) << 2];
    for (size_t i = size; pad && i < 3; i++)
        *out++ = '=';
    return (size_t)(out - begin);
}

/* The number of a character, or -1. */
static int value_of(char c, bool url)
{
    if (mqlua_ascii_is_upper(c))
        return c - 'A';
    if (mqlua_ascii_is_alpha(c))
        return c - 'a' + 26;
    if (mqlua_ascii_is_digit(c))
        return c - '0' + 52;
    if (c == (url ? '-' : '+'))
        return 62;
    return c == (url ? '_' : '/') ? 63 : -1;
}

size_t mqlua_base64_decode(mqlua_base64 *state, char *out, size_t *written, const char *text, size_t size)
{
    char *begin = out;
    size_t at = 0;
    for (; at < size; at++) {
        char c = text[at];
        if (!state->url && (c == ' ' || c == '\t' || c == '\r' || c == '\n'))
            continue;
        if (c == '=' && state->held >= 2 && state->held + state->equal < 4) {
            state->equal++;
            continue;
        }
        int value = value_of(c, state->url);
        if (value < 0 || state->equal)
            break;
        state->bits = (state->bits << 6 | (uint32_t)value) & 0xffff;
        state->held = (state->held + 1) % 4;
        if (state->held != 1)
            *out++ = (char)(state->bits >> (state->held == 2 ? 4 : state->held == 3 ? 2 : 0));
    }
    *written = (size_t)(out - begin);
    return at;
}

bool mqlua_base64_ends(const mqlua_base64 *state)
{
    uint32_t left = state->held == 2 ? 15 : state->held == 3 ? 3 : 0;
    return state->held != 1 && !(state->bits & left) && (!state->equal || state->held + state->equal == 4);
}

/* ---- hexadecimal digits ---- */

static const char digits[] = "0123456789abcdef";
static const char capitals[] = "0123456789ABCDEF";

static int digit(char c)
{
    c = mqlua_ascii_lower(c);
    if (mqlua_ascii_is_digit(c))
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void mqlua_hex_encode(char *out, const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        *out++ = digits[(unsigned char)data[i] >> 4];
        *out++ = digits[(unsigned char)data[i] & 15];
    }
}

size_t mqlua_hex_decode(char *out, const char *text, size_t size)
{
    for (size_t at = 0; at < size; at += 2) {
        int high = digit(text[at]), low = digit(text[at + 1]);
        if (high < 0 || low < 0)
            return at + (high >= 0);
        *out++ = (char)(high << 4 | low);
    }
    return size;
}

static size_t put_escaped(char *out, char mark, char c)
{
    out[0] = mark;
    out[1] = capitals[(unsigned char)c >> 4];
    out[2] = capitals[(unsigned char)c & 15];
    return 3;
}

/* ---- quoted-printable ---- */

/* How many bytes the end of a line at text[at] has; 0: none is there. */
static size_t line_end(const char *text, size_t size, size_t at)
{
    if (at < size && text[at] == '\n')
        return 1;
    return at + 1 < size && text[at] == '\r' && text[at + 1] == '\n' ? 2 : 0;
}

/* May the byte stand for itself? A blank at the end of a line may be lost on the way, and a dot or "From " at
 * the beginning of one be changed. */
static bool is_plain(const char *data, size_t size, size_t at, bool last, size_t column)
{
    char c = data[at];
    if (column == 0 && (c == '.' || (c == 'F' && at + 5 <= size && !memcmp(data + at, "From ", 5))))
        return false;
    return (c > ' ' && c <= '~' && c != '=') || ((c == ' ' || c == '\t') && !last);
}

size_t mqlua_qp_encode(char *out, const char *data, size_t size, size_t at, size_t *column, bool binary,
                       size_t *used)
{
    *used = binary ? 0 : line_end(data, size, at);
    if (*used) {
        *column = 0;
        memcpy(out, "\r\n", 2);
        return 2;
    }
    *used = 1;
    size_t written = 0;
    bool last = at + 1 == size || (!binary && line_end(data, size, at + 1));
    bool plain = is_plain(data, size, at, last, *column);
    if (*column + (plain ? 1 : 3) + !last >
        (size_t)MQLUA_QP_LINE) { /* a = goes behind what is not the last */
        memcpy(out, "=\r\n", 3);
        written = 3;
        *column = 0;
        plain = is_plain(data, size, at, last, 0);
    }
    *column += plain ? 1 : 3;
    if (!plain)
        return written + put_escaped(out + written, '=', data[at]);
    out[written] = data[at];
    return written + 1;
}

size_t mqlua_qp_decode(char *out, const char *text, size_t size, size_t at, size_t *used)
{
    size_t from = at;
    while (at < size && (text[at] == ' ' || text[at] == '\t'))
        at++;
    if (at > from) { /* blanks at the end of a line were put there on the way */
        *used = at - from;
        if (at == size || line_end(text, size, at))
            return 0;
        memcpy(out, text + from, *used);
        return *used;
    }
    if (text[at] == '=') {
        size_t blank = at + 1;
        if (at + 2 < size && digit(text[at + 1]) >= 0 && digit(text[at + 2]) >= 0) {
            out[0] = (char)(digit(text[at + 1]) << 4 | digit(text[at + 2]));
            *used = 3;
            return 1;
        }
        while (blank < size && (text[blank] == ' ' || text[blank] == '\t'))
            blank++;
        size_t end = line_end(text, size, blank);
        if (end || blank == size) {
            *used = blank + end - at;
            return 0;
        }
    }
    out[0] = text[at];
    *used = 1;
    return 1;
}

/* ---- percent-encoding ---- */

size_t mqlua_url_encode(char *out, const char *data, size_t size, bool form)
{
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        char c = data[i];
        if (mqlua_ascii_is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~')
            out[used++] = c;
        else if (c == ' ' && form)
            out[used++] = '+';
        else
            used += put_escaped(out + used, '%', c);
    }
    return used;
}

char mqlua_url_decode(const char *text, size_t size, size_t at, bool form, size_t *used)
{
    *used = 1;
    if (text[at] == '+' && form)
        return ' ';
    if (text[at] != '%' || at + 2 >= size || digit(text[at + 1]) < 0 || digit(text[at + 2]) < 0)
        return text[at];
    *used = 3;
    return (char)(digit(text[at + 1]) << 4 | digit(text[at + 2]));
}
