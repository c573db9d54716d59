/* SPDX-License-Identifier: MIT */

#include "host/reply.h"
#include "base/ascii.h"

#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The length of an enhanced status code (class.subject.detail and a space or the end), else 0. */
static size_t status_length(const char *text, size_t size)
{
    if (size < 5 || (text[0] != '2' && text[0] != '4' && text[0] != '5') || text[1] != '.')
        return 0;
    size_t at = 2;
    for (int part = 0; part < 2; part++) {
        size_t digits = 0;
        while (at < size && is_digit(text[at]) && digits < 3) {
            at++;
            digits++;
        }
        if (!digits)
            return 0;
        if (part == 0 && (at == size || text[at++] != '.'))
            return 0;
    }
    return at == size || text[at] == ' ' ? at : 0;
}

/* One complete line without its line end. */
static enum host_reply_state take_line(struct host_reply *reply, const char *line, size_t size)
{
    if (size > 0 && line[size - 1] == '\r')
        size--;
    if (size < 3 || line[0] < '2' || line[0] > '5' || !is_digit(line[1]) || !is_digit(line[2]))
        return HOST_REPLY_BAD;
    if (size > 3 && line[3] != ' ' && line[3] != '-')
        return HOST_REPLY_BAD;
    int code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
    if (reply->lines && code != reply->code)
        return HOST_REPLY_BAD;
    bool more = size > 3 && line[3] == '-';
    const char *text = size > 3 ? line + 4 : line + size;
    size_t length = size > 3 ? size - 4 : 0;
    size_t status = status_length(text, length);
    if (status && text[0] == line[0]) { /* RFC 2034: its class is that of the code, else it is text */
        memcpy(reply->status, text, status);
        reply->status[status] = '\0';
        text += status;
        length -= status;
        if (length) {
            text++;
            length--;
        }
    }
    if (reply->text.size + length + 1 > HOST_REPLY_TEXT_MAX)
        return HOST_REPLY_BAD;
    if ((reply->lines && !host_bytes_add(&reply->text, "\n", 1)) ||
        !host_bytes_add(&reply->text, text, length))
        return HOST_REPLY_BAD;
    reply->code = code;
    reply->lines++;
    return more ? HOST_REPLY_MORE : HOST_REPLY_DONE;
}

enum host_reply_state host_reply_feed(struct host_reply *reply, const char *in, size_t size, size_t *used)
{
    size_t at = 0;
    *used = size;
    while (at < size) {
        const char *end = memchr(in + at, '\n', size - at);
        size_t length = end ? (size_t)(end - in) - at : size - at;
        if (reply->partial.size + length > HOST_REPLY_LINE_MAX)
            return HOST_REPLY_BAD;
        if (!host_bytes_add(&reply->partial, in + at, length))
            return HOST_REPLY_BAD;
        at += length + (end ? 1 : 0);
        if (!end)
            break;
        enum host_reply_state state = take_line(reply, reply->partial.data, reply->partial.size);
        host_bytes_clear(&reply->partial);
        if (state != HOST_REPLY_MORE) {
            *used = at;
            return state;
        }
    }
    return HOST_REPLY_MORE;
}

bool host_reply_offers(const struct host_reply *reply, const char *keyword, const char **argument,
                       size_t *argument_size)
{
    size_t length = strlen(keyword);
    const char *at = reply->text.data;
    const char *end = at ? at + reply->text.size : NULL;
    const char *line = at ? memchr(at, '\n', reply->text.size) : NULL; /* the first line is the greeting */
    while (line) {
        line++;
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t size = (size_t)((stop ? stop : end) - line);
        /* "AUTH=LOGIN" is how some servers write it */
        if (mqlua_ascii_begins(line, size, keyword) &&
            (size == length || line[length] == ' ' || line[length] == '=')) {
            if (argument) {
                bool rest = size > length;
                *argument = line + length + rest;
                *argument_size = size - length - rest;
            }
            return true;
        }
        line = stop;
    }
    return false;
}

void host_reply_clear(struct host_reply *reply)
{
    host_bytes_clear(&reply->text);
    host_bytes_clear(&reply->partial);
    reply->code = 0;
    reply->status[0] = '\0';
    reply->lines = 0;
}

void host_reply_free(struct host_reply *reply)
{
    host_bytes_free(&reply->text);
    host_bytes_free(&reply->partial);
    *reply = (struct host_reply){0};
}
