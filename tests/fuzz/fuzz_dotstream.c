/* SPDX-License-Identifier: MIT */

/* Any bytes after DATA: the same in one piece, and cut into pieces by the first byte; and equal to a plain
 * state machine that looks at one byte after the other. */

#undef NDEBUG /* the checks are what it is for */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "host/dotstream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Where the mail ends (behind CRLF.CRLF), or 0. */
static size_t find_end(const char *in, size_t size)
{
    if (size >= 3 && memcmp(in, ".\r\n", 3) == 0)
        return 3;
    const char *at = memmem(in, size, "\r\n.\r\n", 5);
    return at ? (size_t)(at - in) + 5 : 0;
}

/* The same mail without stuffed dots, the slow way. */
static void unstuff(const char *in, size_t size, struct host_bytes *out)
{
    for (size_t i = 0; i < size; i++) {
        bool start = i == 0 || (i >= 2 && in[i - 1] == '\n' && in[i - 2] == '\r');
        if (!start || in[i] != '.')
            host_bytes_add(out, in + i, 1);
    }
}

/* What a plugin sees of it: all but the last few bytes that are there, which come again next time. */
static void show(struct host_dotstream *stream, const struct host_bytes *mime, struct host_bytes *raw,
                 struct host_bytes *seen, size_t keep)
{
    const char *bytes;
    size_t size = host_dotstream_sent(stream, mime, raw, &bytes);
    size -= size < keep ? size : keep;
    host_bytes_add(seen, bytes, size);
    host_dotstream_drop(stream, raw, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t piece = data[0] % 16 + 1, at = 0, used;
    const char *in = (const char *)data + 1;
    struct host_bytes mime = {0}, raw = {0}, mime2 = {0}, raw2 = {0}, slow = {0}, seen = {0};
    struct host_dotstream one, many;
    size--;
    host_dotstream_init(&one, 0, 0);
    host_dotstream_init(&many, 0, 0);
    enum host_dotstream_status status = host_dotstream_feed(&one, in, size, &used, &mime, &raw);
    enum host_dotstream_status status2 = HOST_DOTSTREAM_MORE;
    while (at < size && status2 == HOST_DOTSTREAM_MORE) {
        size_t part = size - at < piece ? size - at : piece, taken;
        status2 = host_dotstream_feed(&many, in + at, part, &taken, &mime2, &raw2);
        at += taken;
        show(&many, &mime2, &raw2, &seen, status2 == HOST_DOTSTREAM_END ? 0 : part % 3);
    }
    assert(status == status2 && at == used && one.size == many.size);
    assert(one.bare_cr == many.bare_cr && one.bare_lf == many.bare_lf && one.nul == many.nul);
    assert(mime.size == mime2.size && (!mime.size || memcmp(mime.data, mime2.data, mime.size) == 0));
    const char *sent;
    size_t sent_size = host_dotstream_sent(&one, &mime, &raw, &sent);
    show(&many, &mime2, &raw2, &seen, 0);
    assert(sent_size == seen.size && (!sent_size || memcmp(sent, seen.data, sent_size) == 0));
    size_t end = find_end(in, size);
    assert((status == HOST_DOTSTREAM_END) == (end != 0));
    if (end) {
        assert(used == end && sent_size == end - 3 && memcmp(sent, in, sent_size) == 0);
        unstuff(in, end - 3, &slow);
        assert(slow.size == mime.size && (!slow.size || memcmp(slow.data, mime.data, slow.size) == 0));
    }
    host_bytes_free(&mime);
    host_bytes_free(&raw);
    host_bytes_free(&mime2);
    host_bytes_free(&raw2);
    host_bytes_free(&slow);
    host_bytes_free(&seen);
    return 0;
}
