/* SPDX-License-Identifier: MIT */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/dotstream.h"

struct outcome {
    struct host_dotstream stream;
    struct host_bytes mime, raw;
    size_t used;
    bool end;
};

static void decode(const char *in, size_t size, size_t piece, uint64_t max_size, struct outcome *outcome)
{
    *outcome = (struct outcome){0};
    host_dotstream_init(&outcome->stream, max_size, 1000);
    while (outcome->used < size && !outcome->end) {
        size_t part = size - outcome->used < piece ? size - outcome->used : piece, used;
        char *copy = malloc(part);
        memcpy(copy, in + outcome->used, part);
        enum host_dotstream_status status =
            host_dotstream_feed(&outcome->stream, copy, part, &used, &outcome->mime, &outcome->raw);
        free(copy);
        assert_int_not_equal(status, HOST_DOTSTREAM_NO_MEMORY);
        outcome->end = status == HOST_DOTSTREAM_END;
        if (!outcome->end)
            assert_int_equal(used, part);
        outcome->used += used;
    }
}

static void release(struct outcome *outcome)
{
    host_bytes_free(&outcome->mime);
    host_bytes_free(&outcome->raw);
}

/* In pieces of every size the outcome is the same. */
static void check(const char *in, size_t size, const char *mime, size_t mime_size, bool end, bool cr, bool lf)
{
    for (size_t piece = 1; piece <= size; piece++) {
        struct outcome o;
        decode(in, size, piece, 0, &o);
        assert_int_equal(o.end, end);
        assert_int_equal(o.mime.size, mime_size);
        if (mime_size)
            assert_memory_equal(o.mime.data, mime, mime_size);
        assert_int_equal(o.stream.size, mime_size);
        assert_int_equal(o.stream.bare_cr, cr);
        assert_int_equal(o.stream.bare_lf, lf);
        const char *sent;
        size_t sent_size = host_dotstream_sent(&o.stream, &o.mime, &o.raw, &sent);
        if (end) {
            assert_int_equal(sent_size, o.used - 3);
            assert_memory_equal(sent, in, sent_size);
        }
        release(&o);
    }
}

#define CHECK(in, mime, end, cr, lf) check(in, sizeof in - 1, mime, sizeof mime - 1, end, cr, lf)

static void ends(void **state)
{
    CHECK(".\r\n", "", true, false, false);
    CHECK("a\r\n.\r\n", "a\r\n", true, false, false);
    CHECK("a: b\r\n\r\nc\r\n.\r\nQUIT\r\n", "a: b\r\n\r\nc\r\n", true, false, false);
    CHECK("\r\n\r\n.\r\n", "\r\n\r\n", true, false, false);
}

static void stuffing(void **state)
{
    CHECK("..\r\n.\r\n", ".\r\n", true, false, false);
    CHECK("...\r\n..a\r\n.b\r\n.\r\n", "..\r\n.a\r\nb\r\n", true, false, false);
    CHECK("a.\r\n.\r\n", "a.\r\n", true, false, false);
    CHECK("a\r\n..\r\n..\r\n.\r\n", "a\r\n.\r\n.\r\n", true, false, false);
}

/* What other servers might take for the end must not be taken for it. */
static void smuggling(void **state)
{
    CHECK("a\n.\r\nb\r\n.\r\n", "a\n.\r\nb\r\n", true, false, true);
    CHECK("a\r\n.\nb\r\n.\r\n", "a\r\n\nb\r\n", true, false, true);
    CHECK("a\n.\nb\r\n.\r\n", "a\n.\nb\r\n", true, false, true);
    CHECK("a\r.\rb\r\n.\r\n", "a\r.\rb\r\n", true, true, false);
    CHECK("a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n", true, true, false);
    CHECK("a\r.\r\nb\r\n.\r\n", "a\r.\r\nb\r\n", true, true, false);
    CHECK("a\r\r\n.\r\n", "a\r\r\n", true, true, false);
    CHECK("a\r\n.\r\r\n.\r\n", "a\r\n\r\r\n", true, true, false);
    CHECK("\n.\r\n\r\n.\r\n", "\n.\r\n\r\n", true, false, true);
}

static void held_back(void **state)
{
    struct outcome o;
    decode("a\r\n.\r", 5, 5, 0, &o);
    assert_false(o.end);
    const char *sent;
    assert_int_equal(host_dotstream_sent(&o.stream, &o.mime, &o.raw, &sent), 3);
    assert_int_equal(o.mime.size, 3);
    release(&o);
}

/* Without a removed dot nothing is kept twice; with one, only what was not dropped before. */
static void sent(void **state)
{
    struct outcome o;
    const char *bytes;
    size_t used;
    decode("a\r\nb\r\n.\r\n", 9, 4, 0, &o);
    assert_true(o.end);
    assert_int_equal(o.raw.size, 0);
    release(&o);
    decode("a\r\nb", 4, 4, 0, &o);
    host_dotstream_drop(&o.stream, &o.raw, 3);
    assert_int_equal(host_dotstream_sent(&o.stream, &o.mime, &o.raw, &bytes), 1);
    assert_memory_equal(bytes, "b", 1);
    assert_int_equal(host_dotstream_feed(&o.stream, "\r\n..c", 5, &used, &o.mime, &o.raw),
                     HOST_DOTSTREAM_MORE);
    assert_int_equal(host_dotstream_sent(&o.stream, &o.mime, &o.raw, &bytes), 6);
    assert_memory_equal(bytes, "b\r\n..c", 6);
    host_dotstream_drop(&o.stream, &o.raw, 4);
    assert_int_equal(host_dotstream_sent(&o.stream, &o.mime, &o.raw, &bytes), 2);
    assert_memory_equal(bytes, ".c", 2);
    release(&o);
}

static void limits(void **state)
{
    struct outcome o;
    char line[1100];
    memset(line, 'x', sizeof line);
    memcpy(line + 998, "\r\n.\r\n", 5);
    decode(line, 1003, 7, 0, &o);
    assert_true(o.end);
    assert_false(o.stream.long_line);
    release(&o);
    memset(line, 'x', sizeof line);
    memcpy(line + 999, "\r\n.\r\n", 5);
    for (size_t piece = 1; piece < 1004; piece += 167) {
        decode(line, 1004, piece, 0, &o);
        assert_true(o.end);
        assert_true(o.stream.long_line);
        release(&o);
    }
    decode("12345678\r\n.\r\n", 13, 1, 10, &o);
    assert_true(o.end);
    assert_false(o.stream.too_big);
    release(&o);
    decode("123456789\r\n.\r\n", 14, 1, 10, &o);
    assert_true(o.end);
    assert_true(o.stream.too_big);
    assert_int_equal(o.stream.size, 11);
    assert_true(o.mime.size <= 10);
    release(&o);
}

static void nul(void **state)
{
    struct outcome o;
    decode("a\0b\r\n.\r\n", 8, 8, 0, &o);
    assert_true(o.end);
    assert_true(o.stream.nul);
    assert_int_equal(o.mime.size, 5);
    release(&o);
    decode("ab\r\n.\r\n\0", 8, 8, 0, &o); /* behind the end: not of this message */
    assert_true(o.end);
    assert_false(o.stream.nul);
    release(&o);
}

/* Stuffing and undoing it are inverse. */
static void round_trip(void **state)
{
    static const char *const mails[] = {"",           "a",    ".", "..\r\n.", "a\r\n.b\r\n\r\n..\r\n",
                                        ".\r\n.\r\n", "a\r\n"};
    for (size_t i = 0; i < sizeof mails / sizeof *mails; i++) {
        struct host_bytes wire = {0}, expected = {0};
        struct outcome o;
        size_t size = strlen(mails[i]);
        assert_true(host_dotstream_stuff(&wire, mails[i], size));
        decode(wire.data, wire.size, 2, 0, &o);
        assert_true(o.end);
        assert_int_equal(o.used, wire.size);
        host_bytes_add(&expected, mails[i], size);
        if (size && mails[i][size - 1] != '\n')
            host_bytes_add_text(&expected, "\r\n");
        assert_int_equal(o.mime.size, expected.size);
        if (expected.size)
            assert_memory_equal(o.mime.data, expected.data, expected.size);
        release(&o);
        host_bytes_free(&wire);
        host_bytes_free(&expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends),      cmocka_unit_test(stuffing),   cmocka_unit_test(smuggling),
        cmocka_unit_test(held_back), cmocka_unit_test(sent),       cmocka_unit_test(limits),
        cmocka_unit_test(nul),       cmocka_unit_test(round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
