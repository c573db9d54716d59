/* SPDX-License-Identifier: MIT */

/* Reading: every text is some address. What is right is in email_check.c. */

#include "base/email.h"
#include "base/ascii.h"
#include "base/idn.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Behind the comment that begins at at; at + 1 when it does not end. Comments nest. */
static size_t skip_comment(const char *text, size_t at, size_t size)
{
    size_t depth = 0;
    for (size_t i = at; i < size; i++) {
        if (text[i] == '\\')
            i++;
        else if (text[i] == '(')
            depth++;
        else if (text[i] == ')' && --depth == 0)
            return i + 1;
    }
    return at + 1;
}

/* Behind the quoted string that begins at at; at + 1 when it does not end. */
static size_t skip_quoted(const char *text, size_t at, size_t size)
{
    for (size_t i = at + 1; i < size; i++) {
        if (text[i] == '\\')
            i++;
        else if (text[i] == '"')
            return i + 1;
    }
    return at + 1;
}

/* Behind what begins at at: a quoted string, a comment, a quoted pair, or one byte. */
static size_t skip(const char *text, size_t at, size_t size)
{
    switch (text[at]) {
    case '"':
        return skip_quoted(text, at, size);
    case '(':
        return skip_comment(text, at, size);
    case '\\':
        return at + 1 < size ? at + 2 : size;
    default:
        return at + 1;
    }
}

size_t mqlua_email_length(const char *text, size_t size)
{
    size_t at = 0;
    while (at < size && text[at] != ' ')
        at = skip(text, at, size);
    return at;
}

/* Eight bytes at a time. Whether one of them is below '*' (blanks, quotes, comments, controls), from [ to ],
 * or beyond ASCII; the last bytes are filled up with letters. */
static inline bool has_special(uint64_t bytes)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = 0x80 * ones;
    uint64_t seven = bytes & ~high;
    uint64_t from_star = seven + (0x80 - '*') * ones;
    uint64_t from_open = seven + (0x80 - '[') * ones, behind_close = seven + (0x80 - ']' - 1) * ones;
    return ((bytes | ~from_star | (from_open ^ behind_close)) & high) != 0;
}

/* A text with nothing in it that has to be looked at, whatever it is: then it is its own key. */
static bool is_plain(const char *text, size_t size)
{
    uint64_t bytes;
    if (!size)
        return true;
    if (text[size - 1] == '.' || (text[0] == '@' && memchr(text, ':', size)))
        return false;
    size_t i = 0;
    for (; i + sizeof bytes <= size; i += sizeof bytes) {
        memcpy(&bytes, text + i, sizeof bytes);
        if (has_special(bytes))
            return false;
    }
    memset(&bytes, 'a', sizeof bytes);
    memcpy(&bytes, text + i, size - i);
    return !has_special(bytes);
}

/* Behind a source route, 0 where there is none: "@one,@two:" before an address. */
static size_t route_length(const char *text, size_t size)
{
    size_t at = 0;
    if (!size || text[0] != '@')
        return 0;
    while (at < size && text[at] != ':') {
        if (text[at] == '[')
            while (at < size && text[at] != ']')
                at++;
        at = at < size ? skip(text, at, size) : size;
    }
    return at < size && memrchr(text + at, '@', size - at) ? at + 1 : 0;
}

void mqlua_email_read(mqlua_email *email, const char *text, size_t size)
{
    if (size >= 2 && text[0] == '<' && text[size - 1] == '>') {
        text++;
        size -= 2;
    }
    *email = (mqlua_email){.text = text, .size = size, .local_end = size, .domain = size, .domain_end = size};
    email->plain = size > MQLUA_EMAIL_READ || is_plain(text, size);
    if (email->plain) {
        const char *at = memrchr(text, '@', size);
        if (at) {
            email->local_end = (size_t)(at - text);
            email->domain = email->local_end + 1;
        }
        return;
    }
    email->local = route_length(text, size);
    for (size_t at = email->local; at < size; at = skip(text, at, size)) {
        if (text[at] != '@')
            continue;
        email->local_end = at;
        email->domain = at + 1;
    }
}

/* What is written from text, size bytes, without quotes, comments and blanks. */
static size_t unquote(const char *text, size_t size, char *out)
{
    size_t used = 0;
    for (size_t at = 0, next; at < size; at = next) {
        next = skip(text, at, size);
        char c = text[at];
        if (c == '"' && next > at + 1) {
            for (size_t i = at + 1; i < next - 1; i++) {
                i += text[i] == '\\' && i + 1 < next - 1;
                out[used++] = text[i];
            }
        } else if (c == '\\') {
            out[used++] = text[next - 1];
        } else if (!blank(c) && (c != '(' || next == at + 1)) {
            out[used++] = c;
        }
    }
    return used;
}

size_t mqlua_email_local(const mqlua_email *email, char *out)
{
    const char *text = email->text + email->local;
    size_t size = email->local_end - email->local;
    if (!email->plain)
        return unquote(text, size, out);
    memcpy(out, text, size);
    return size;
}

/* Four numbers up to 255, which may have zeros in front. */
static bool read_ipv4(const char *text, size_t size, unsigned char bytes[4])
{
    size_t at = 0;
    for (int part = 0; part < 4; part++) {
        unsigned value = 0, digits = 0;
        if (part && (at == size || text[at++] != '.'))
            return false;
        for (; at < size && mqlua_ascii_is_digit(text[at]) && digits < 3; at++, digits++)
            value = value * 10 + (unsigned)(text[at] - '0');
        if (!digits || value > 255)
            return false;
        bytes[part] = (unsigned char)value;
    }
    return at == size;
}

size_t mqlua_email_literal(const char *text, size_t size, char *out)
{
    static const char tag[] = "[ipv6:";
    unsigned char bytes[16];
    char copy[64];
    if (size < 3 || size > sizeof copy || text[0] != '[' || text[size - 1] != ']')
        return 0;
    if (read_ipv4(text + 1, size - 2, bytes))
        return (size_t)sprintf(out, "[%u.%u.%u.%u]", bytes[0], bytes[1], bytes[2], bytes[3]);
    size_t skipped = sizeof tag - 1;
    if (!mqlua_ascii_begins(text, size, tag))
        return 0;
    memcpy(copy, text + skipped, size - skipped - 1);
    copy[size - skipped - 1] = '\0';
    if (inet_pton(AF_INET6, copy, bytes) != 1 || !inet_ntop(AF_INET6, bytes, copy, sizeof copy))
        return 0;
    return (size_t)sprintf(out, "%s%s]", tag, copy);
}

/* In place: to lower case, without dots at the end. */
static size_t smooth(char *text, size_t size)
{
    while (size && text[size - 1] == '.')
        size--;
    for (size_t i = 0; i < size; i++)
        text[i] = mqlua_ascii_lower(text[i]);
    return size;
}

size_t mqlua_email_domain(const mqlua_email *email, bool ascii, char *out)
{
    const char *text = email->text + email->domain;
    size_t size = email->domain_end - email->domain;
    char copy[MQLUA_EMAIL_READ];
    if (email->plain) {
        memcpy(out, text, size);
        return smooth(out, size);
    }
    size = smooth(copy, unquote(text, size, copy));
    size_t literal = size && copy[0] == '[' ? mqlua_email_literal(copy, size, out) : 0;
    if (literal)
        return literal;
    if (ascii)
        return mqlua_idn_to_ascii(copy, size, out, NULL);
    memcpy(out, copy, size);
    return size;
}

/* Labels with dots between, and a dot inside: "example.org.", not "joe" or "v1." */
static bool is_domain_name(const char *text, size_t size)
{
    size_t dots = 0;
    for (size_t i = 0; i < size; i++) {
        bool dot = text[i] == '.';
        if (dot && (i == 0 || text[i - 1] == '.'))
            return false;
        dots += dot && i + 1 < size;
        if (!dot && !(text[i] & 0x80) && !mqlua_ascii_is_alnum(text[i]) && text[i] != '-' && text[i] != '_')
            return false;
    }
    return dots > 0;
}

const char *mqlua_email_key(const mqlua_email *email, size_t *key_size, char out[MQLUA_EMAIL_KEY])
{
    size_t used = 0;
    bool has_domain = email->domain_end > email->domain;
    *key_size = email->size;
    if (email->plain)
        return email->text;
    if (!has_domain && is_domain_name(email->text, email->size)) {
        mqlua_email name = *email;
        name.domain = 0;
        *key_size = mqlua_email_domain(&name, true, out);
        return out;
    }
    if (!has_domain)
        return email->text;
    used = mqlua_email_local(email, out);
    out[used++] = '@';
    *key_size = used + mqlua_email_domain(email, true, out + used);
    return out;
}

bool mqlua_email_same(const mqlua_email *a, const mqlua_email *b, bool any_case)
{
    char key_a[MQLUA_EMAIL_KEY], key_b[MQLUA_EMAIL_KEY];
    size_t size_a, size_b;
    if (a->size > MQLUA_EMAIL_READ || b->size > MQLUA_EMAIL_READ)
        return a->size == b->size && memcmp(a->text, b->text, a->size) == 0;
    const char *one = mqlua_email_key(a, &size_a, key_a), *other = mqlua_email_key(b, &size_b, key_b);
    const char *at = memrchr(one, '@', size_a);
    size_t local = at && !any_case ? (size_t)(at - one) : 0;
    return size_a == size_b && memcmp(one, other, local) == 0 &&
           mqlua_ascii_same(one + local, other + local, size_a - local);
}
