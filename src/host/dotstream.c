/* SPDX-License-Identifier: MIT */

#include "host/dotstream.h"

#include <string.h>

/* Where the next byte stands. Only the first bytes of a line and a CR at the end of a piece need a state;
 * everything else goes line by line through memchr. */
enum state {
    LINE_START, /* behind CRLF, or at the very beginning */
    DOT,        /* a dot at the start of a line: held back */
    DOT_CR,     /* a dot and CR there: held back */
    TEXT,
    TEXT_CR, /* the last byte of the piece before was CR, already stored */
    BROKEN,  /* no memory */
};

struct sink {
    struct host_dotstream *stream;
    struct host_bytes *mime;
    struct host_bytes *raw;
    bool failed;
};

void host_dotstream_init(struct host_dotstream *stream, uint64_t max_size, size_t max_line)
{
    *stream = (struct host_dotstream){.max_size = max_size, .max_line = max_line, .state = LINE_START};
}

static void add_mime(struct sink *sink, const char *data, size_t size)
{
    struct host_dotstream *stream = sink->stream;
    stream->size += size;
    if (stream->max_size && stream->size > stream->max_size)
        stream->too_big = true;
    if (!sink->failed && !stream->too_big && !host_bytes_add(sink->mime, data, size))
        sink->failed = true;
}

static void add_raw(struct sink *sink, const char *data, size_t size)
{
    struct host_dotstream *stream = sink->stream;
    if (!sink->failed && !stream->too_big && stream->dotted && !host_bytes_add(sink->raw, data, size))
        sink->failed = true;
}

/* Something that is not in mime: a dot, with what was held back together with it. Up to the first one mime is
 * what was sent. */
static void add_dot(struct sink *sink, const char *data, size_t size)
{
    struct host_dotstream *stream = sink->stream;
    if (!stream->dotted && sink->raw && !stream->too_big) {
        stream->dotted = true;
        if (sink->mime->size > stream->shown)
            add_raw(sink, sink->mime->data + stream->shown, sink->mime->size - stream->shown);
    }
    add_raw(sink, data, size);
}

static void count(struct host_dotstream *stream, size_t size)
{
    stream->line += size;
    if (stream->max_line && stream->line > stream->max_line)
        stream->long_line = true;
}

/* The states at the start of a line and behind a CR, a byte at a time. Returns true when the byte at in[*at]
 * is to be looked at as text. */
static bool begin(struct sink *sink, const char *in, size_t *at, bool *end)
{
    struct host_dotstream *stream = sink->stream;
    char c = in[*at];
    switch (stream->state) {
    case LINE_START:
        stream->line = 0;
        stream->state = c == '.' ? DOT : TEXT;
        if (c == '.') {
            (*at)++;
            count(stream, 1);
        }
        return c != '.';
    case DOT:
        if (c == '\r') {
            (*at)++;
            stream->state = DOT_CR;
            return false;
        }
        add_dot(sink, ".", 1); /* a stuffed dot goes; so does one that a client forgot to double */
        stream->state = TEXT;
        return true;
    case DOT_CR:
        if (c == '\n') {
            (*at)++;
            *end = true;
            return false;
        }
        add_dot(sink, ".\r", 2);
        add_mime(sink, "\r", 1);
        count(stream, 1);
        stream->bare_cr = true;
        stream->state = TEXT;
        return true;
    case TEXT_CR:
        stream->state = TEXT;
        if (c != '\n') {
            stream->bare_cr = true;
            return true;
        }
        (*at)++;
        count(stream, 1);
        add_raw(sink, "\n", 1);
        add_mime(sink, "\n", 1);
        stream->state = LINE_START;
        return false;
    default:
        return true;
    }
}

/* Goes over text from in[at] to the next line that starts with a dot, or to the end of the piece, and stores
 * it as one block. Returns the new position. */
static size_t text(struct sink *sink, const char *in, size_t at, size_t size)
{
    struct host_dotstream *stream = sink->stream;
    size_t block = at;
    while (at < size) {
        const char *lf = memchr(in + at, '\n', size - at);
        size_t stop = lf ? (size_t)(lf - in) : size;
        bool crlf = lf && stop > at && in[stop - 1] == '\r';
        size_t body = stop - at - (crlf ? 1 : 0);
        const char *cr = body ? memchr(in + at, '\r', body) : NULL;
        if (cr && (lf || cr != in + size - 1))
            stream->bare_cr = true;
        count(stream, stop - at + (lf ? 1 : 0));
        at = stop;
        if (!lf) {
            stream->state = in[size - 1] == '\r' ? TEXT_CR : TEXT;
            break;
        }
        at++;
        if (!crlf) {
            stream->bare_lf = true;
            continue;
        }
        stream->state = LINE_START;
        if (at == size || in[at] == '.')
            break;
        stream->state = TEXT;
        stream->line = 0;
    }
    add_mime(sink, in + block, at - block);
    add_raw(sink, in + block, at - block);
    return at;
}

enum host_dotstream_status host_dotstream_feed(struct host_dotstream *stream, const char *in, size_t size,
                                               size_t *used, struct host_bytes *mime, struct host_bytes *raw)
{
    struct sink sink = {.stream = stream, .mime = mime, .raw = raw, .failed = stream->state == BROKEN};
    size_t at = 0;
    bool end = false;
    while (at < size && !end && !sink.failed)
        if (begin(&sink, in, &at, &end))
            at = text(&sink, in, at, size);
    *used = at;
    if (at && memchr(in, '\0', at))
        stream->nul = true;
    if (sink.failed) {
        stream->state = BROKEN;
        *used = size;
        return HOST_DOTSTREAM_NO_MEMORY;
    }
    return end ? HOST_DOTSTREAM_END : HOST_DOTSTREAM_MORE;
}

size_t host_dotstream_sent(const struct host_dotstream *stream, const struct host_bytes *mime,
                           const struct host_bytes *raw, const char **bytes)
{
    const struct host_bytes *from = stream->dotted ? raw : mime;
    size_t at = stream->dotted ? 0 : stream->shown;
    *bytes = from->data ? from->data + at : "";
    return from->size - at;
}

void host_dotstream_drop(struct host_dotstream *stream, struct host_bytes *raw, size_t size)
{
    if (stream->dotted)
        host_bytes_drop(raw, size);
    else
        stream->shown += size;
}

bool host_dotstream_stuff(struct host_bytes *out, const char *mime, size_t size)
{
    if (!host_bytes_reserve(out, size + size / 64 + 8))
        return false;
    size_t at = 0;
    bool ok = true;
    while (at < size && ok) {
        if (mime[at] == '.')
            ok = host_bytes_add(out, ".", 1);
        size_t block = at;
        do { /* as far as no dot has to be put in */
            const char *lf = memchr(mime + at, '\n', size - at);
            at = lf ? (size_t)(lf - mime) + 1 : size;
        } while (at < size && mime[at] != '.');
        ok = ok && host_bytes_add(out, mime + block, at - block);
    }
    if (ok && (size < 2 || memcmp(mime + size - 2, "\r\n", 2) != 0) && size)
        ok = host_bytes_add(out, "\r\n", 2);
    return ok && host_bytes_add(out, ".\r\n", 3);
}
