/* SPDX-License-Identifier: MIT */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/json_print.h"
#include "host/message_json.h"

static const struct host_message_facts facts = {.envelope = "a@example.com",
                                                .hostname = "mx.example.com",
                                                .received = 1700000000,
                                                .local_ip = "192.0.2.1",
                                                .remote_ip = "192.0.2.9",
                                                .local_port = 25,
                                                .remote_port = 4711,
                                                .secure = true,
                                                .user = "anna",
                                                .dsn_ret = "FULL"};

static host_json *build_with(const struct host_message_facts *these, const char *mime, size_t size,
                             bool extract)
{
    struct host_message_mime stripped;
    assert_true(host_message_json_extract(mime, size, extract, &stripped));
    host_json *json = host_message_json_build(these, &stripped, "b@example.com", "id1", "DELAY", "");
    assert_non_null(json);
    host_message_json_extract_free(&stripped);
    return json;
}

static host_json *build(const char *mime)
{
    return build_with(&facts, mime, strlen(mime), true);
}

static void properties(void **state)
{
    host_json *json = build("Subject: x\r\n\r\nbody\r\n");
    host_json *connection = host_json_get(json, "connection");
    assert_string_equal(host_json_text(json, "envelope", NULL), "a@example.com");
    assert_string_equal(host_json_text(json, "recipient", NULL), "b@example.com");
    assert_string_equal(host_json_text(json, "mime", NULL), "Subject: x\r\n\r\nbody\r\n");
    assert_string_equal(host_json_text(json, "received", NULL), "2023-11-14 22:13:20");
    assert_string_equal(host_json_text(json, "hostname", NULL), "mx.example.com");
    assert_string_equal(host_json_text(json, "message-id", NULL), "id1");
    assert_string_equal(host_json_text(connection, "local-ip", NULL), "192.0.2.1");
    assert_string_equal(host_json_text(connection, "remote-ip", NULL), "192.0.2.9");
    assert_int_equal(HOST_JSON(get_int)(host_json_get(connection, "remote-port")), 4711);
    assert_true(HOST_JSON(get_boolean)(host_json_get(connection, "secure")));
    assert_string_equal(host_json_text(connection, "user", NULL), "anna");
    assert_string_equal(host_json_text(host_json_get(json, "dsn"), "ret", NULL), "FULL");
    assert_string_equal(host_json_text(host_json_get(json, "dsn"), "notify", NULL), "DELAY");
    assert_false(host_json_has(host_json_get(json, "dsn"), "orcpt"));
    assert_null(host_message_json_check(json, NULL));
    HOST_JSON(put)(json);
}

static void null_sender_and_minimal(void **state)
{
    struct host_message_facts other = {.envelope = "", .minimal = true};
    host_json *json = build_with(&other, "a: b\r\n\r\n", 8, true);
    assert_false(host_json_has(json, "envelope"));
    assert_false(host_json_has(json, "connection"));
    assert_false(host_json_has(json, "received"));
    assert_null(host_message_json_check(json, NULL));
    HOST_JSON(put)(json);
}

static void extraction(void **state)
{
    host_json *json =
        build("Subject: x\r\nX-MQ-Tag: one\r\nx-mq-tag:two\r\nX-mq-Color: light\r\n blue \r\n"
              "x-mq-maxattempts: 3\r\nx-mq-retries: 60, 120\r\nx-mq-ip: 192.0.2.5\r\n"
              "x-mq-results-queue: q\r\nx-mq-smarthost-hostname: h\r\nx-mq-smarthost-port: 2525\r\n"
              "x-mq-inlinecss: 1\r\nx-mq-envelope: evil@example.com\r\nx-mq-recipient: e@x\r\n"
              "x-mq-dsn-notify: NEVER\r\nx-mq-dsn-envid: e1\r\nFrom: y\r\n\r\nx-mq-tag: body\r\n");
    host_json *tags = host_json_get(json, "tags");
    assert_string_equal(host_json_text(json, "mime", NULL),
                        "Subject: x\r\nFrom: y\r\n\r\nx-mq-tag: body\r\n");
    assert_int_equal(HOST_JSON(array_length)(tags), 2);
    assert_string_equal(HOST_JSON(get_string)(HOST_JSON(array_get_idx)(tags, 1)), "two");
    assert_string_equal(host_json_text(json, "color", NULL), "light blue");
    assert_int_equal(HOST_JSON(get_int)(host_json_get(json, "maxattempts")), 3);
    assert_int_equal(HOST_JSON(array_length)(host_json_get(json, "retries")), 2);
    assert_int_equal(HOST_JSON(array_length)(host_json_get(json, "ips")), 1);
    assert_string_equal(host_json_text(host_json_get(json, "queues"), "results", NULL), "q");
    assert_int_equal(HOST_JSON(get_int)(host_json_get(host_json_get(json, "smarthost"), "port")), 2525);
    assert_true(HOST_JSON(get_boolean)(host_json_get(json, "inlinecss")));
    assert_string_equal(host_json_text(json, "envelope", NULL), "a@example.com");
    assert_string_equal(host_json_text(json, "recipient", NULL), "b@example.com");
    assert_string_equal(host_json_text(host_json_get(json, "dsn"), "notify", NULL), "DELAY");
    assert_string_equal(host_json_text(host_json_get(json, "dsn"), "envid", NULL), "e1");
    HOST_JSON(put)(json);
}

static void extraction_edges(void **state)
{
    static const struct {
        const char *mime, *rest;
    } cases[] = {
        {"", ""},
        {"x-mq-tag: a", ""},
        {"x-mq-", ""},
        {"x-mq-: a\r\n\r\n", "\r\n"},
        {"x-mq-tag\r\nSubject: s\r\n\r\n", "Subject: s\r\n\r\n"},
        {"x-mq-tag: a\n b\nSubject: s\n\nx-mq-tag: c\n", "Subject: s\n\nx-mq-tag: c\n"},
        {"\r\nx-mq-tag: a\r\n", "\r\nx-mq-tag: a\r\n"},
        {"Subject: x-mq-tag: a\r\n x-mq-tag: b\r\n\r\n", "Subject: x-mq-tag: a\r\n x-mq-tag: b\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size = strlen(cases[i].mime);
        char *exact = malloc(size ? size : 1);
        memcpy(exact, cases[i].mime, size);
        host_json *json = build_with(&facts, exact, size, true);
        assert_string_equal(host_json_text(json, "mime", NULL), cases[i].rest);
        HOST_JSON(put)(json);
        json = build_with(&facts, exact, size, false);
        assert_string_equal(host_json_text(json, "mime", NULL), cases[i].mime);
        assert_false(host_json_has(json, "tags"));
        HOST_JSON(put)(json);
        free(exact);
    }
}

/* Raw bytes and NUL survive the way through one line of text. */
static void bytes(void **state)
{
    static const char mime[] = "Subject: \xe4\xff\r\n\r\na\0b\x01\x7f \"\\/\r\n";
    host_json *json = build_with(&facts, mime, sizeof mime - 1, true), *again;
    const char *error, *text;
    size_t size;
    struct host_bytes line = {0};
    assert_true(host_json_print(&line, json));
    assert_null(memchr(line.data, '\n', line.size));
    assert_true(host_json_parse(line.data, line.size, &again, &error));
    host_bytes_free(&line);
    text = host_json_text(again, "mime", &size);
    assert_int_equal(size, sizeof mime - 1);
    assert_memory_equal(text, mime, size);
    HOST_JSON(put)(json);
    HOST_JSON(put)(again);
}

/* Every kind of value comes out as it went in. */
static void printing(void **state)
{
    static const char text[] =
        "{\"a\":[1,-9007199254740993,1.5,true,false,null,{},[],\"\\\"\\\\/\\n\\u0001\"],\"\\t\":\"\"}";
    struct host_bytes line = {0};
    host_json *json;
    const char *error;
    assert_true(host_json_parse(text, sizeof text - 1, &json, &error));
    assert_true(host_json_print(&line, json));
    assert_string_equal(line.data, text);
    host_bytes_free(&line);
    HOST_JSON(put)(json);
}

static void checks(void **state)
{
    static const struct {
        const char *json;
        bool good;
    } cases[] = {
        {"{\"recipient\":\"a@b\",\"mime\":\"\"}", true},
        {"{\"recipient\":\"a@b\",\"mime\":{}}", true},
        {"{\"recipient\":\"a@b\",\"key\":\"k\"}", true},
        {"{\"recipient\":\"a@b\"}", false},
        {"{\"recipient\":\"ab\",\"mime\":\"\"}", false},
        {"{\"recipient\":1,\"mime\":\"\"}", false},
        {"{\"mime\":\"\"}", false},
        {"{\"recipient\":\"a@b\",\"mime\":[]}", false},
        {"{\"recipient\":\"a@b\",\"mime\":\"\",\"envelope\":1}", false},
        {"[]", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        host_json *json;
        const char *error;
        assert_true(host_json_parse(cases[i].json, strlen(cases[i].json), &json, &error));
        assert_int_equal(host_message_json_check(json, NULL) == NULL, cases[i].good);
        HOST_JSON(put)(json);
    }
    assert_non_null(host_message_json_check(NULL, NULL));
}

static void the_recipient_of_the_client(void **state)
{
    host_json *json;
    const char *error;
    const char *text = "{\"recipient\":\"postmaster\",\"mime\":\"\"}";
    assert_true(host_json_parse(text, strlen(text), &json, &error));
    assert_null(host_message_json_check(json, "postmaster"));
    assert_non_null(host_message_json_check(json, "postmaster@example.com"));
    assert_non_null(host_message_json_check(json, "post"));
    HOST_JSON(put)(json);
}

static void ids_and_times(void **state)
{
    char one[HOST_MESSAGE_ID_SIZE], two[HOST_MESSAGE_ID_SIZE], text[HOST_MESSAGE_TIME_SIZE];
    time_t time;
    host_message_json_id(one);
    host_message_json_id(two);
    assert_string_not_equal(one, two);
    host_message_json_time(0, text);
    assert_string_equal(text, "1970-01-01 00:00:00");
    assert_true(host_message_json_parse_time("2023-11-14 22:13:20", &time));
    assert_int_equal(time, 1700000000);
    assert_false(host_message_json_parse_time("2023-11-14T22:13:20", &time));
    assert_false(host_message_json_parse_time("2023-11-14 22:13:20Z", &time));
    assert_false(host_message_json_parse_time("2023-02-30 00:00:00", &time));
    assert_false(host_message_json_parse_time("2023-11-14 22:13", &time));
    assert_false(host_message_json_parse_time("", &time));
}

static void parsing(void **state)
{
    static const char *const bad[] = {"", "{", "{\"a\":1}x", "{\"a\":1}{}", "{a}", "nope", "{\"a\":tru}"};
    host_json *json;
    const char *error;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(host_json_parse(bad[i], strlen(bad[i]), &json, &error));
        assert_non_null(error);
        assert_null(json);
    }
    assert_true(host_json_parse("{\"a\":1} \t\r\n", 11, &json, &error));
    HOST_JSON(put)(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(properties),
        cmocka_unit_test(null_sender_and_minimal),
        cmocka_unit_test(extraction),
        cmocka_unit_test(extraction_edges),
        cmocka_unit_test(bytes),
        cmocka_unit_test(checks),
        cmocka_unit_test(the_recipient_of_the_client),
        cmocka_unit_test(printing),
        cmocka_unit_test(ids_and_times),
        cmocka_unit_test(parsing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
