/* SPDX-License-Identifier: MIT */

/* What is an address (RFC 5321 4.1.2, RFC 6531 3.3), and how a local part is written. */

#include "base/ascii.h"
#include "base/email.h"
#include "base/idn.h"
#include "base/utf8.h"

static bool is_atext(char c)
{
    return mqlua_ascii_is_alnum(c) || (c & 0x80) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

/* Bytes that belong nowhere in an address: no UTF-8, and controls. */
static const char *wrong_bytes(const char *text, size_t size)
{
    uint32_t point;
    for (size_t at = 0, length; at < size; at += length) {
        length = mqlua_utf8_read(text + at, size - at, &point);
        if (!length)
            return "is not UTF-8";
        if (point < 0x20 || (point >= 0x7f && point < 0xa0))
            return "has a control character";
    }
    return NULL;
}

/* Why a character cannot be where it is. */
static const char *wrong_character(char c, const char *otherwise)
{
    switch (c) {
    case '@':
        return "has more than one @";
    case ' ':
        return "has a blank";
    case ',':
    case ';':
        return "is more than one address, or has a comma without quotes";
    case '<':
    case '>':
        return "has angle brackets: only what is between them is the address";
    default:
        return otherwise;
    }
}

/* Behind a dot-string or quoted string; *wrong where it is none. */
static size_t local_length(const char *text, size_t size, const char **wrong)
{
    size_t at = 0;
    if (size && text[0] == '"') {
        for (at = 1; at < size && text[at] != '"'; at++)
            at += text[at] == '\\';
        *wrong = at < size ? NULL : "has a quote that does not end";
        return at < size ? at + 1 : size;
    }
    while (at < size && (is_atext(text[at]) || (text[at] == '.' && at && text[at - 1] != '.')))
        at++;
    *wrong = (at && text[at - 1] == '.') || (at < size && text[at] == '.') ? "has a dot too many before the @"
                                                                           : NULL;
    return at;
}

/* A label of size bytes, without dots. */
static const char *wrong_label(const char *label, size_t size)
{
    char ascii[4 * MQLUA_EMAIL_DOMAIN + 8];
    size_t left = 0;
    if (!size)
        return "has a dot too many behind the @";
    for (size_t i = 0; i < size; i++)
        if (!(label[i] & 0x80) && !mqlua_ascii_is_alnum(label[i]) && label[i] != '-' && label[i] != '_')
            return wrong_character(label[i], "has a character behind the @ that no domain has");
    if (label[0] == '-' || label[size - 1] == '-')
        return "has a domain with a hyphen at the edge of a label";
    return mqlua_idn_to_ascii(label, size, ascii, &left) > MQLUA_IDN_LABEL || left
               ? "has a domain with a label of more than 63 bytes"
               : NULL;
}

static const char *wrong_domain(const char *text, size_t size)
{
    char literal[64];
    if (!size)
        return "has nothing behind the @";
    if (size > MQLUA_EMAIL_DOMAIN)
        return "has a domain of more than 255 bytes";
    if (text[0] == '[')
        return mqlua_email_literal(text, size, literal)
                   ? NULL
                   : "has brackets without an IP address: [192.0.2.1] and [IPv6:2001:db8::1] are right";
    for (size_t at = 0; at <= size;) {
        const char *dot = memchr(text + at, '.', size - at);
        size_t length = dot ? (size_t)(dot - text) - at : size - at;
        const char *wrong = wrong_label(text + at, length);
        if (wrong)
            return at && at == size ? "ends with a dot" : wrong;
        at += length + 1;
    }
    return NULL;
}

const char *mqlua_email_wrong_domain(const char *text, size_t size)
{
    const char *wrong = wrong_bytes(text, size);
    return wrong ? wrong : wrong_domain(text, size);
}

const char *mqlua_email_wrong(const char *text, size_t size)
{
    const char *wrong = wrong_bytes(text, size);
    if (wrong)
        return wrong;
    if (!memchr(text, '@', size))
        return size ? "has no @" : "is empty";
    size_t local = local_length(text, size, &wrong);
    if (wrong)
        return wrong;
    if (!local && text[0] == '@')
        return "has nothing before the @";
    if (local == size)
        return "has no @";
    if (text[local] != '@')
        return wrong_character(text[local], "has a character before the @ that needs quotes");
    if (local > MQLUA_EMAIL_LOCAL)
        return "has more than 64 bytes before the @";
    wrong = wrong_domain(text + local + 1, size - local - 1);
    return wrong || size <= MQLUA_EMAIL_SIZE ? wrong : "has more than 254 bytes";
}

size_t mqlua_email_quote(const char *local, size_t size, char *out)
{
    const char *wrong;
    size_t used = 0;
    if (size && local[0] != '"' && local_length(local, size, &wrong) == size && !wrong) {
        memcpy(out, local, size);
        return size;
    }
    out[used++] = '"';
    for (size_t i = 0; i < size; i++) {
        if (local[i] == '"' || local[i] == '\\')
            out[used++] = '\\';
        out[used++] = local[i];
    }
    out[used++] = '"';
    return used;
}
