/* SPDX-License-Identifier: MIT */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/reply.h"

/* Feeds in pieces of that size; checks that what is behind the reply is left. */
static enum host_reply_state feed(struct host_reply *reply, const char *text, size_t piece, size_t *used)
{
    size_t size = strlen(text);
    enum host_reply_state state = HOST_REPLY_MORE;
    *used = 0;
    while (*used < size && state == HOST_REPLY_MORE) {
        size_t part = size - *used < piece ? size - *used : piece, taken;
        char *copy = malloc(part);
        memcpy(copy, text + *used, part);
        state = host_reply_feed(reply, copy, part, &taken);
        free(copy);
        *used += taken;
    }
    return state;
}

static void single(void **state)
{
    const char *text = "550 5.1.1 No such user\r\n250 Ok\r\n";
    for (size_t piece = 1; piece < 40; piece++) {
        struct host_reply reply = {0};
        size_t used;
        assert_int_equal(feed(&reply, text, piece, &used), HOST_REPLY_DONE);
        assert_int_equal(used, 24);
        assert_int_equal(reply.code, 550);
        assert_string_equal(reply.status, "5.1.1");
        assert_string_equal(reply.text.data, "No such user");
        host_reply_clear(&reply);
        assert_int_equal(feed(&reply, text + used, piece, &used), HOST_REPLY_DONE);
        assert_int_equal(reply.code, 250);
        assert_string_equal(reply.status, "");
        assert_string_equal(reply.text.data, "Ok");
        host_reply_free(&reply);
    }
}

static void many_lines(void **state)
{
    const char *text =
        "250-mx.example.com greets you\r\n250-SIZE 1000\r\n250-AUTH=LOGIN PLAIN\r\n250-8BITMIME\r\n"
        "250 STARTTLS\r\n";
    struct host_reply reply = {0};
    const char *argument;
    size_t size, used;
    assert_int_equal(feed(&reply, text, 3, &used), HOST_REPLY_DONE);
    assert_int_equal(reply.lines, 5);
    assert_true(host_reply_offers(&reply, "starttls", NULL, NULL));
    assert_true(host_reply_offers(&reply, "SIZE", &argument, &size));
    assert_int_equal(size, 4);
    assert_memory_equal(argument, "1000", 4);
    assert_true(host_reply_offers(&reply, "AUTH", &argument, &size));
    assert_memory_equal(argument, "LOGIN PLAIN", 11);
    assert_false(host_reply_offers(&reply, "8BIT", NULL, NULL));
    assert_false(host_reply_offers(&reply, "mx.example.com", NULL, NULL));
    assert_false(host_reply_offers(&reply, "DSN", NULL, NULL));
    host_reply_free(&reply);
}

static void shapes(void **state)
{
    static const struct {
        const char *text;
        int code;
        const char *status;
        const char *rest;
    } good[] = {
        {"250\r\n", 250, "", ""},
        {"250 \r\n", 250, "", ""},
        {"354 go on\n", 354, "", "go on"},
        {"450-4.2.0 Wait\r\n450 4.2.0 please\r\n", 450, "4.2.0", "Wait\nplease"},
        {"250 5.1.1 lies\r\n", 250, "", "5.1.1 lies"},
        {"220 2.mx ready\r\n", 220, "", "2.mx ready"},
        {"250 2.1.5\r\n", 250, "2.1.5", ""},
        {"550 5.7.1234 x\r\n", 550, "", "5.7.1234 x"},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct host_reply reply = {0};
        size_t used;
        assert_int_equal(feed(&reply, good[i].text, 100, &used), HOST_REPLY_DONE);
        assert_int_equal(reply.code, good[i].code);
        assert_string_equal(reply.status, good[i].status);
        assert_string_equal(reply.text.data, good[i].rest);
        host_reply_free(&reply);
    }
    static const char *const bad[] = {"hello\r\n", "25\r\n",    "\r\n",       "600 x\r\n",
                                      "150 x\r\n", "250_x\r\n", "2500 x\r\n", "250-a\r\n251 b\r\n",
                                      "2x0 a\r\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct host_reply reply = {0};
        size_t used;
        assert_int_equal(feed(&reply, bad[i], 2, &used), HOST_REPLY_BAD);
        host_reply_free(&reply);
    }
}

static void limits(void **state)
{
    struct host_reply reply = {0};
    enum host_reply_state last = HOST_REPLY_MORE;
    size_t used;
    char line[HOST_REPLY_LINE_MAX + 10];
    memset(line, '2', sizeof line);
    assert_int_equal(host_reply_feed(&reply, line, sizeof line, &used), HOST_REPLY_BAD);
    host_reply_clear(&reply);
    for (int i = 0; i < HOST_REPLY_TEXT_MAX && last == HOST_REPLY_MORE; i++)
        last = host_reply_feed(&reply, "250-1234567890\r\n", 16, &used);
    assert_int_equal(last, HOST_REPLY_BAD);
    assert_true(reply.text.size <= HOST_REPLY_TEXT_MAX);
    host_reply_free(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single),
        cmocka_unit_test(many_lines),
        cmocka_unit_test(shapes),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
