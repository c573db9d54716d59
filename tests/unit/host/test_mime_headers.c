/* SPDX-License-Identifier: MIT */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "host/mime_headers.h"

#define MAIL "From: a\r\nSubject: one\r\n two\r\nX-A: 1\r\nx-a: 2\r\n\r\nX-A: body\r\n"

static void check(const char *headers, const char *mime, const char *expected)
{
    struct host_bytes out = {0};
    host_json *json = NULL;
    const char *error;
    if (headers)
        assert_true(host_json_parse(headers, strlen(headers), &json, &error));
    assert_true(host_mime_headers_apply(&out, mime, strlen(mime), json));
    assert_string_equal(out.data, expected);
    HOST_JSON(put)(json);
    host_bytes_free(&out);
}

static void edits(void **state)
{
    check(NULL, MAIL, MAIL);
    check("[]", MAIL, MAIL);
    check("{}", MAIL, MAIL);
    check("{\"remove\":\"x-A\"}", MAIL, "From: a\r\nSubject: one\r\n two\r\n\r\nX-A: body\r\n");
    check("{\"remove\":[\"subject\",\"From\",7]}", MAIL, "X-A: 1\r\nx-a: 2\r\n\r\nX-A: body\r\n");
    check("{\"prepend\":{\"X-B\":\"b\"},\"append\":{\"X-C\":[\"c\",\"d\"]},\"add\":{\"X-E\":5}}", MAIL,
          "X-B: b\r\nFrom: a\r\nSubject: one\r\n two\r\nX-A: 1\r\nx-a: 2\r\nX-C: c\r\nX-C: d\r\nX-E: 5\r\n"
          "\r\nX-A: body\r\n");
    check("{\"replace\":{\"X-a\":\"9\",\"X-N\":\"n\"}}", MAIL,
          "From: a\r\nSubject: one\r\n two\r\nX-a: 9\r\nX-N: n\r\n\r\nX-A: body\r\n");
    check("{\"update\":{\"Subject\":\"s\",\"X-N\":\"n\"}}", MAIL,
          "From: a\r\nSubject: s\r\nX-A: 1\r\nx-a: 2\r\n\r\nX-A: body\r\n");
}

static void injection(void **state)
{
    check("{\"add\":{\"X-B\":\"b\\r\\nBcc: c\",\"X\\nY\":\"c\",\"\":\"d\",\"X-D\":null,\"X-E\":{}}}", MAIL,
          MAIL);
}

static void no_body(void **state)
{
    check("{\"add\":{\"X-B\":\"b\"}}", "", "X-B: b\r\n");
    check("{\"add\":{\"X-B\":\"b\"}}", "From: a", "From: a\r\nX-B: b\r\n");
    check("{\"add\":{\"X-B\":\"b\"}}", "\r\nbody", "X-B: b\r\n\r\nbody");
    check("{\"remove\":\"From\"}", "From: a", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edits),
        cmocka_unit_test(injection),
        cmocka_unit_test(no_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
