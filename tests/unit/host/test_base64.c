/* SPDX-License-Identifier: MIT */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/base64.h"

static void round_trip(void **state)
{
    unsigned char data[60] = {0}, back[60];
    for (size_t size = 0; size < sizeof data; size++) {
        for (size_t i = 0; i < size; i++)
            data[i] = (unsigned char)(i * 37 + size);
        char *text = host_base64_encode(data, size);
        assert_non_null(text);
        assert_int_equal(strlen(text), (size + 2) / 3 * 4);
        assert_int_equal(host_base64_decode(text, strlen(text), back, size), size);
        if (size)
            assert_memory_equal(back, data, size);
        if (size)
            assert_int_equal(host_base64_decode(text, strlen(text), back, size - 1), -1);
        free(text);
    }
}

static void known(void **state)
{
    char out[16];
    assert_int_equal(host_base64_decode("AGEAYg==", 8, out, sizeof out), 4);
    assert_memory_equal(out, "\0a\0b", 4);
}

static void malformed(void **state)
{
    static const char *const bad[] = {"A",    "AB",    "ABC",  "AB=C", "=ABC", "====",     "A===", "ABCD=",
                                      "AB C", "ABC\n", " ABC", "AGF=", "AR==", "AB==CD==", "AB-_", "ABC\xff"};
    char out[16];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(host_base64_decode(bad[i], strlen(bad[i]), out, sizeof out), -1);
    assert_int_equal(host_base64_decode("AB\0=", 4, out, sizeof out), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(known),
        cmocka_unit_test(malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
