/* SPDX-License-Identifier: MIT */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/proxy.h"

static enum host_proxy_status parse(const void *bytes, size_t size, struct host_proxy *proxy, size_t *used)
{
    char *copy = malloc(size ? size : 1);
    memcpy(copy, bytes, size);
    enum host_proxy_status status = host_proxy_parse(copy, size, proxy, used);
    free(copy);
    return status;
}

/* Every beginning of a good header wants more; the whole one, with mail behind it, is done. */
static void check_good(const void *bytes, size_t size, struct host_proxy *proxy)
{
    char longer[512];
    size_t used;
    for (size_t part = 0; part < size; part++)
        assert_int_equal(parse(bytes, part, proxy, &used), HOST_PROXY_MORE);
    memcpy(longer, bytes, size);
    memcpy(longer + size, "EHLO x\r\n", 8);
    assert_int_equal(parse(longer, size + 8, proxy, &used), HOST_PROXY_DONE);
    assert_int_equal(used, size);
}

static void text(void **state)
{
    struct host_proxy proxy;
    const char *line = "PROXY TCP4 192.0.2.1 198.51.100.7 56324 25\r\n";
    check_good(line, strlen(line), &proxy);
    assert_int_equal(proxy.version, 1);
    assert_true(proxy.known);
    assert_string_equal(proxy.remote_ip, "192.0.2.1");
    assert_string_equal(proxy.local_ip, "198.51.100.7");
    assert_int_equal(proxy.remote_port, 56324);
    assert_int_equal(proxy.local_port, 25);
    line = "PROXY TCP6 2001:DB8::1 ::1 1 65535\r\n";
    check_good(line, strlen(line), &proxy);
    assert_true(proxy.ipv6);
    assert_string_equal(proxy.remote_ip, "2001:db8::1");
    line = "PROXY UNKNOWN\r\n";
    check_good(line, strlen(line), &proxy);
    assert_false(proxy.known);
    line = "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n";
    check_good(line, strlen(line), &proxy);
    assert_false(proxy.known);
}

static void text_bad(void **state)
{
    static const char *const bad[] = {
        "EHLO x\r\n",
        "PROXZ",
        "PROXY TCP4 192.0.2.1 198.51.100.7 56324 25\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 56324\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 56324 25 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 56324 65536\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 56324 025\r\n",
        "PROXY TCP4 192.0.2.1  198.51.100.7 56324 25\r\n",
        "PROXY TCP4 192.0.2.300 198.51.100.7 56324 25\r\n",
        "PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.7 56324 25\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.7 56324 25\r\n",
        "PROXY \r\n",
    };
    struct host_proxy proxy;
    size_t used;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(parse(bad[i], strlen(bad[i]), &proxy, &used), HOST_PROXY_BAD);
        assert_false(proxy.known);
    }
    char endless[200];
    memset(endless, 'x', sizeof endless);
    memcpy(endless, "PROXY UNKNOWN ", 14);
    assert_int_equal(parse(endless, sizeof endless, &proxy, &used), HOST_PROXY_BAD);
}

static const unsigned char signature[] = {13, 10, 13, 10, 0, 13, 10, 'Q', 'U', 'I', 'T', 10};

static size_t make(unsigned char *out, int command, int family, const void *body, size_t size)
{
    memcpy(out, signature, 12);
    out[12] = (unsigned char)command;
    out[13] = (unsigned char)family;
    out[14] = (unsigned char)(size >> 8);
    out[15] = (unsigned char)size;
    if (size)
        memcpy(out + 16, body, size);
    return 16 + size;
}

static void binary(void **state)
{
    unsigned char bytes[256], body[64] = {192, 0, 2, 1, 198, 51, 100, 7, 0xdc, 4, 0, 25};
    struct host_proxy proxy;
    size_t used;
    check_good(bytes, make(bytes, 0x21, 0x11, body, 12), &proxy);
    assert_int_equal(proxy.version, 2);
    assert_true(proxy.known);
    assert_string_equal(proxy.remote_ip, "192.0.2.1");
    assert_string_equal(proxy.local_ip, "198.51.100.7");
    assert_int_equal(proxy.remote_port, 56324);
    assert_int_equal(proxy.local_port, 25);
    check_good(bytes, make(bytes, 0x21, 0x11, body, 20), &proxy); /* with TLVs behind */
    assert_true(proxy.known);
    memset(body, 0, sizeof body);
    body[0] = 0x20, body[1] = 1, body[15] = 1, body[33] = 9;
    check_good(bytes, make(bytes, 0x21, 0x21, body, 36), &proxy);
    assert_string_equal(proxy.remote_ip, "2001::1");
    assert_int_equal(proxy.remote_port, 9);
    check_good(bytes, make(bytes, 0x20, 0x11, body, 12), &proxy); /* LOCAL */
    assert_false(proxy.known);
    check_good(bytes, make(bytes, 0x20, 0x00, body, 0), &proxy);
    assert_false(proxy.known);
    check_good(bytes, make(bytes, 0x21, 0x00, body, 0), &proxy); /* UNSPEC */
    assert_false(proxy.known);
    size_t size = make(bytes, 0x21, 0x11, body, 11);
    assert_int_equal(parse(bytes, size, &proxy, &used), HOST_PROXY_BAD);
    size = make(bytes, 0x11, 0x11, body, 12);
    assert_int_equal(parse(bytes, size, &proxy, &used), HOST_PROXY_BAD);
    size = make(bytes, 0x22, 0x11, body, 12);
    assert_int_equal(parse(bytes, size, &proxy, &used), HOST_PROXY_BAD);
    size = make(bytes, 0x21, 0x41, body, 12);
    assert_int_equal(parse(bytes, size, &proxy, &used), HOST_PROXY_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text),
        cmocka_unit_test(text_bad),
        cmocka_unit_test(binary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
