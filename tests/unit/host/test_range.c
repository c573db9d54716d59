/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "host/host.h"
#include "host/range.h"

static struct sockaddr_storage address(const char *text)
{
    struct sockaddr_storage storage = {0};
    struct sockaddr_in *four = (struct sockaddr_in *)&storage;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&storage;
    if (inet_pton(AF_INET, text, &four->sin_addr) == 1)
        storage.ss_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &six->sin6_addr) == 1)
        storage.ss_family = AF_INET6;
    return storage;
}

static bool contains(const char *range_text, const char *address_text)
{
    struct host_range range;
    struct sockaddr_storage storage = address(address_text);
    assert_true(host_range_parse(range_text, &range));
    struct host_options options = {.proxies = &range, .proxy_count = 1};
    return host_range_contains(&options, &storage);
}

static void test_ranges_contain(void **state)
{
    assert_true(contains("127.0.0.1", "127.0.0.1"));
    assert_false(contains("127.0.0.1", "127.0.0.2"));
    assert_true(contains("10.0.0.0/8", "10.255.0.1"));
    assert_false(contains("10.0.0.0/8", "11.0.0.1"));
    assert_true(contains("192.168.4.0/22", "192.168.7.255"));
    assert_false(contains("192.168.4.0/22", "192.168.8.0"));
    assert_true(contains("0.0.0.0/0", "203.0.113.9"));
    assert_false(contains("0.0.0.0/0", "2001:db8::1"));
    assert_true(contains("2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(contains("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(contains("127.0.0.1", "::ffff:127.0.0.1"));
}

static void test_malformed_ranges(void **state)
{
    static const char *const texts[] = {
        "",           "host",   "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x",
        "2001::/129", "10.0.0", "10.0.0.0/ 8", "/8"};
    struct host_range range;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_false(host_range_parse(texts[i], &range));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges_contain),
        cmocka_unit_test(test_malformed_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
