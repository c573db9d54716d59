/* SPDX-License-Identifier: MIT */

/* Sets of IP networks. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cidr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int has(const mqlua_cidr *cidr, const char *ip)
{
    int text = mqlua_cidr_contains_text(cidr, ip, strlen(ip));
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, ip, &in.sin_addr) == 1)
        assert_int_equal(mqlua_cidr_contains(cidr, (struct sockaddr *)&in), text);
    if (inet_pton(AF_INET6, ip, &in6.sin6_addr) == 1)
        assert_int_equal(mqlua_cidr_contains(cidr, (struct sockaddr *)&in6), text);
    return text;
}

/* A set of the words of text. */
static mqlua_cidr *make(const char *text, char **error)
{
    char copy[512], *words[32], *rest = copy;
    size_t count = 0;
    snprintf(copy, sizeof copy, "%s", text);
    while (*text && (words[count] = strsep(&rest, ",")))
        count++;
    words[count] = NULL;
    return mqlua_cidr_parse(words, error);
}

static void membership(void **state)
{
    char *error = NULL;
    mqlua_cidr *cidr = make(
        "192.0.2.0/24,10.0.0.0/8,10.1.0.0/16,198.51.100.7,2001:db8::/33,fe80::/10,203.0.113.128/25", &error);
    assert_non_null(cidr);
    static const char *const in[] = {
        "192.0.2.0",        "192.0.2.255",  "10.0.0.0",
        "10.255.255.255",   "10.1.2.3",     "10.200.0.1",
        "198.51.100.7",     "2001:db8::",   "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff",
        "::ffff:192.0.2.1", "fe80::1",      "fe80::1%eth0",
        "203.0.113.128",    "203.0.113.255"};
    static const char *const out[] = {
        "192.0.1.255",     "192.0.3.0",       "9.255.255.255",   "11.0.0.0",         "198.51.100.6",
        "198.51.100.8",    "2001:db8:8000::", "2001:db7:ffff::", "::ffff:192.0.3.1", "::",
        "255.255.255.255", "0.0.0.0",         "203.0.113.127",   "203.0.114.0"};
    static const char *const none[] = {"",          "x",   "192.0.2", "192.0.2.1 ", "192.0.2.1/32",
                                       "1.2.3.4.5", ":::", "%eth0"};
    for (size_t i = 0; i < sizeof in / sizeof *in; i++)
        if (has(cidr, in[i]) != 1)
            fail_msg("%s", in[i]);
    for (size_t i = 0; i < sizeof out / sizeof *out; i++)
        if (has(cidr, out[i]) != 0)
            fail_msg("%s", out[i]);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(mqlua_cidr_contains_text(cidr, none[i], strlen(none[i])), -1);
    struct sockaddr other = {.sa_family = AF_UNIX};
    assert_false(mqlua_cidr_contains(cidr, &other));
    assert_false(mqlua_cidr_contains(cidr, NULL));
    mqlua_cidr_free(cidr);
}

static void families(void **state)
{
    mqlua_cidr *six = make("::/0", NULL), *four = make("0.0.0.0/0", NULL);
    mqlua_cidr *map = make("::ffff:10.0.0.0/104", NULL), *none = make("", NULL);
    assert_int_equal(has(six, "2001:db8::1"), 1);
    assert_int_equal(has(six, "192.0.2.1"), 0);
    assert_int_equal(has(six, "::ffff:192.0.2.1"), 0);
    assert_int_equal(has(four, "192.0.2.1"), 1);
    assert_int_equal(has(four, "::ffff:192.0.2.1"), 1);
    assert_int_equal(has(four, "2001:db8::1"), 0);
    assert_int_equal(has(map, "10.1.1.1"), 1);
    assert_int_equal(has(map, "11.1.1.1"), 0);
    assert_int_equal(has(none, "10.1.1.1"), 0);
    assert_int_equal(has(none, "::1"), 0);
    mqlua_cidr_free(six);
    mqlua_cidr_free(four);
    mqlua_cidr_free(map);
    mqlua_cidr_free(none);
}

static void refuses(const char *text, const char *expected)
{
    char list[128], *error = NULL;
    snprintf(list, sizeof list, "192.0.2.1,%s", text);
    assert_null(make(list, &error));
    assert_string_equal(error, expected);
    free(error);
}

static void wrong_entries(void **state)
{
    refuses("10.0.0.1/8", "'10.0.0.1/8' has bits set behind the prefix: '10.0.0.0/8' is the network");
    refuses("10.0.0.1/31", "'10.0.0.1/31' has bits set behind the prefix: '10.0.0.0/31' is the network");
    refuses("2001:db8::1/32",
            "'2001:db8::1/32' has bits set behind the prefix: '2001:db8::/32' is the network");
    refuses("10.0.0.0/33", "'10.0.0.0/33': the prefix must be a number from 0 to 32");
    refuses("10.0.0.0/", "'10.0.0.0/': the prefix must be a number from 0 to 32");
    refuses("10.0.0.0/-1", "'10.0.0.0/-1': the prefix must be a number from 0 to 32");
    refuses("10.0.0.0/8/8", "'10.0.0.0/8/8': the prefix must be a number from 0 to 32");
    refuses("::/129", "'::/129': the prefix must be a number from 0 to 128");
    refuses("10.0.0", "'10.0.0' is not an IP address or network");
    refuses("", "'' is not an IP address or network");
    refuses("localhost", "'localhost' is not an IP address or network");
    refuses(" 10.0.0.1", "' 10.0.0.1' is not an IP address or network");
}

/* Against the definition, over random nested and neighbouring networks. */
static void random_networks(void **state)
{
    unsigned seed = 4711;
    for (int round = 0; round < 200; round++) {
        uint32_t nets[40];
        int prefixes[40];
        mqlua_cidr *cidr = mqlua_cidr_new(NULL, NULL);
        for (int i = 0; i < 40; i++) {
            char text[32];
            prefixes[i] = 20 + (int)(rand_r(&seed) % 13);
            nets[i] = (0x0a000000u | (rand_r(&seed) & 0xffff)) & (0xffffffffu << (32 - prefixes[i]));
            snprintf(text, sizeof text, "%u.%u.%u.%u/%d", nets[i] >> 24, nets[i] >> 16 & 255,
                     nets[i] >> 8 & 255, nets[i] & 255, prefixes[i]);
            assert_true(mqlua_cidr_add(cidr, text, strlen(text), NULL));
        }
        mqlua_cidr_finish(cidr);
        for (int i = 0; i < 500; i++) {
            struct sockaddr_in in = {.sin_family = AF_INET};
            uint32_t ip = 0x0a000000u | (rand_r(&seed) & 0xffff);
            bool expected = false;
            for (int j = 0; j < 40; j++)
                expected |= (ip & (0xffffffffu << (32 - prefixes[j]))) == nets[j];
            in.sin_addr.s_addr = htonl(ip);
            assert_int_equal(mqlua_cidr_contains(cidr, (struct sockaddr *)&in), expected);
        }
        mqlua_cidr_free(cidr);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(membership),
        cmocka_unit_test(families),
        cmocka_unit_test(wrong_entries),
        cmocka_unit_test(random_networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
