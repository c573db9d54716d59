/* SPDX-License-Identifier: MIT */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "host/delivery.h"
#include "host/message_json.h"
#include "host/results.h"

static host_json *parse(const char *text)
{
    host_json *json;
    const char *error;
    assert_true(host_json_parse(text, strlen(text), &json, &error));
    return json;
}

static void attempt(void **state)
{
    host_json *json =
        parse("{\"recipient\":\"a@b\",\"mime\":\"m\",\"mine\":{\"x\":1},\"results\":[{\"state\":\"dns\"}]}");
    struct host_result result = {.state = "message",
                                 .result = "accepted",
                                 .mta = "mx",
                                 .from = "192.0.2.1",
                                 .to = "192.0.2.2",
                                 .messages = 3,
                                 .code = 250,
                                 .status = "2.0.0",
                                 .description = "Ok",
                                 .dsn = true};
    time_t time;
    assert_true(host_results_add(json, &result));
    host_json *results = host_json_get(json, "results");
    assert_int_equal(HOST_JSON(array_length)(results), 2);
    host_json *entry = HOST_JSON(array_get_idx)(results, 1);
    assert_string_equal(host_json_text(entry, "state", NULL), "message");
    assert_string_equal(host_json_text(entry, "result", NULL), "accepted");
    assert_true(host_message_json_parse_time(host_json_text(entry, "time", NULL), &time));
    assert_int_equal(HOST_JSON(get_int)(host_json_get(entry, "code")), 250);
    assert_string_equal(host_json_text(entry, "status", NULL), "2.0.0");
    assert_int_equal(HOST_JSON(get_int)(host_json_get(entry, "messages")), 3);
    assert_true(host_json_has(entry, "dsn"));
    assert_false(host_json_has(entry, "cipher"));
    assert_false(host_json_has(json, "mime"));
    assert_true(host_json_has(json, "mine"));
    HOST_JSON(put)(json);
}

static void keepmime(void **state)
{
    struct host_result result = {
        .state = "process", .result = "timeout", .messages = -1, .description = "late"};
    static const char *const keep[] = {"{\"mime\":\"m\",\"keepmime\":true}",
                                       "{\"mime\":\"m\",\"keepmime\":1}"};
    for (int i = 0; i < 2; i++) {
        host_json *json = parse(keep[i]);
        assert_true(host_results_add(json, &result));
        assert_true(host_json_has(json, "mime"));
        host_json *entry = HOST_JSON(array_get_idx)(host_json_get(json, "results"), 0);
        assert_false(host_json_has(entry, "messages"));
        assert_false(host_json_has(entry, "code"));
        HOST_JSON(put)(json);
    }
    host_json *json = parse("{\"mime\":\"m\",\"keepmime\":false}");
    assert_true(host_results_add(json, &result));
    assert_false(host_json_has(json, "mime"));
    HOST_JSON(put)(json);
}

static void prepare(void **state)
{
    static const struct {
        const char *json, *state, *result;
    } cases[] = {
        {"{\"recipient\":\"a@b.example\",\"mime\":\"m\"}", NULL, NULL},
        {"{\"recipient\":\"a@b.example\",\"mime\":\"m\",\"envelope\":\"\"}", NULL, NULL},
        {"{\"recipient\":\"a@b.example\",\"mime\":\"m\",\"envelope\":null}", NULL, NULL},
        {"{\"recipient\":\"a@b.example\",\"mime\":{}}", NULL, NULL},
        {"{\"recipient\":\"a@b.example\",\"key\":\"k\"}", NULL, NULL},
        {"{\"recipient\":\"a@b.example\",\"mime\":\"m\",\"maxdelivertime\":\"2200-01-01 00:00:00\"}", NULL,
         NULL},
        {"{\"recipient\":\"a@b.example\",\"mime\":\"m\",\"smarthost\":{\"hostname\":\"::1\",\"port\":\"26\"}"
         "}",
         NULL, NULL},
        {"{\"recipient\":\"a@b.example\",\"mime\":\"m\",\"maxdelivertime\":\"2020-01-01 00:00:00\"}",
         "process", "timeout"},
        {"{\"recipient\":\"a@b.example\",\"mime\":\"m\",\"maxdelivertime\":7}", "process", "invalid"},
        {"{\"recipient\":\"a@b.example\",\"mime\":\"m\",\"ips\":[]}", "process", "error"},
        {"{\"recipient\":\"a@b.example\",\"mime\":\"a\\nb\"}", "process", "invalid"},
        {"{\"recipient\":\"a@b.example\",\"mime\":[]}", "process", "invalid"},
        {"{\"recipient\":\"a@b.example\"}", "process", "invalid"},
        {"{\"recipient\":\"a\",\"mime\":\"m\"}", "process", "invalid"},
        {"{\"recipient\":\"a@b> NOTIFY=NEVER\",\"mime\":\"m\"}", "process", "invalid"},
        {"{\"recipient\":\"a@b>\\r\\nDATA\",\"mime\":\"m\"}", "process", "invalid"},
        {"{\"recipient\":\"a@b.example\",\"envelope\":\"x y\",\"mime\":\"m\"}", "process", "invalid"},
        {"{\"mime\":\"m\"}", "process", "invalid"},
        {"{\"recipient\":\"a@b.example\",\"mime\":\"m\",\"smarthost\":{\"hostname\":\"127.0.0.1\",\"port\":"
         "\"x\"}}",
         "dns", "error"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct host_result result = {0};
        struct host_delivery *delivery = host_delivery_new(1, parse(cases[i].json));
        assert_non_null(delivery);
        bool ok = host_delivery_prepare(delivery, "127.0.0.1:25", &result);
        if (ok != !cases[i].state)
            print_error("%s\n", cases[i].json);
        assert_int_equal(ok, !cases[i].state);
        if (!ok) {
            assert_string_equal(result.state, cases[i].state);
            assert_string_equal(result.result, cases[i].result);
        }
        host_delivery_free(delivery);
    }
}

static void mime_check(void **state)
{
    assert_null(host_delivery_check_mime("a: b\r\n\r\nc", 9, true));
    assert_null(host_delivery_check_mime("\r\nc", 3, true));
    assert_null(host_delivery_check_mime("a: b\r\n", 6, false));
    assert_non_null(host_delivery_check_mime("a: b\r\n", 6, true));
    assert_non_null(host_delivery_check_mime("a: b\n\nc", 7, false));
    assert_non_null(host_delivery_check_mime("a: b\r\r\n\r\n", 9, false));
    assert_non_null(host_delivery_check_mime("a: b\r\n\r\nc\r", 10, false));
    assert_non_null(host_delivery_check_mime("\n", 1, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attempt),
        cmocka_unit_test(keepmime),
        cmocka_unit_test(prepare),
        cmocka_unit_test(mime_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
