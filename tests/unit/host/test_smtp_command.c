/* SPDX-License-Identifier: MIT */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/smtp_command.h"

/* Parses from an allocation of exactly that size, so that a sanitizer sees a byte too many. */
static enum host_smtp_error parse_bytes(const char *text, size_t size, struct host_smtp_command *command)
{
    static char *line; /* command->argument points into it */
    free(line);
    line = malloc(size ? size : 1);
    memcpy(line, text, size);
    return host_smtp_command_parse(line, size, command);
}

static enum host_smtp_error parse(const char *text, struct host_smtp_command *command)
{
    return parse_bytes(text, strlen(text), command);
}

static void verbs(void **state)
{
    struct host_smtp_command c;
    assert_int_equal(parse("ehlo  mail.example.com ", &c), HOST_SMTP_OK);
    assert_int_equal(c.verb, HOST_SMTP_EHLO);
    assert_int_equal(c.argument_size, 16);
    assert_memory_equal(c.argument, "mail.example.com", 16);
    assert_int_equal(parse("EHLO", &c), HOST_SMTP_BAD_SYNTAX);
    assert_int_equal(parse("DATA", &c), HOST_SMTP_OK);
    assert_int_equal(parse("data ", &c), HOST_SMTP_OK);
    assert_int_equal(parse("DATA now", &c), HOST_SMTP_BAD_SYNTAX);
    assert_int_equal(c.verb, HOST_SMTP_DATA);
    assert_int_equal(parse("NOOP whatever", &c), HOST_SMTP_OK);
    assert_int_equal(parse("AUTH PLAIN AGEAYg==", &c), HOST_SMTP_OK);
    assert_int_equal(c.verb, HOST_SMTP_AUTH);
    assert_int_equal(parse("QUITE", &c), HOST_SMTP_BAD_VERB);
    assert_int_equal(parse("", &c), HOST_SMTP_BAD_VERB);
    assert_int_equal(parse(" RSET", &c), HOST_SMTP_BAD_VERB);
    assert_int_equal(parse("RSET\r", &c), HOST_SMTP_BAD_BYTES);
    assert_int_equal(parse_bytes("RSET\0", 5, &c), HOST_SMTP_BAD_BYTES);
    assert_int_equal(parse("NOOP \xff", &c), HOST_SMTP_BAD_BYTES);
    assert_int_equal(parse("NOOP \xc0\xaf", &c), HOST_SMTP_BAD_BYTES);
    assert_int_equal(parse("NOOP \xed\xa0\x80", &c), HOST_SMTP_BAD_BYTES);
    assert_int_equal(parse("NOOP \xe2\x82\xac", &c), HOST_SMTP_OK);
}

static void addresses(void **state)
{
    static const struct {
        const char *line;
        const char *address; /* NULL: an error */
        enum host_smtp_error error;
    } cases[] = {
        {"MAIL FROM:<>", "", HOST_SMTP_OK},
        {"mail from: <a@example.com>", "a@example.com", HOST_SMTP_OK},
        {"MAIL FROM:a@example.com", "a@example.com", HOST_SMTP_OK},
        {"MAIL FROM:<@one.example,@two.example:a@three.example>", "a@three.example", HOST_SMTP_OK},
        {"MAIL FROM:<\"a b\\\"@c\"@example.com>", "\"a b\\\"@c\"@example.com", HOST_SMTP_OK},
        {"MAIL FROM:<a@[192.0.2.1]>", "a@[192.0.2.1]", HOST_SMTP_OK},
        {"MAIL FROM:<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]", HOST_SMTP_OK},
        {"RCPT TO:<Postmaster>", "Postmaster", HOST_SMTP_OK},
        {"RCPT TO:<a+b=c@sub.example.com>", "a+b=c@sub.example.com", HOST_SMTP_OK},
        {"MAIL FROM:<postmaster>", NULL, HOST_SMTP_BAD_SENDER},
        {"MAIL FROM:", NULL, HOST_SMTP_BAD_SENDER},
        {"MAIL FROM:<a@example.com", NULL, HOST_SMTP_BAD_SENDER},
        {"MAIL FROM:<a@example.com>x", NULL, HOST_SMTP_BAD_SENDER},
        {"MAIL FROM:<a b@example.com>", NULL, HOST_SMTP_BAD_SENDER},
        {"MAIL FROM:<a..b@example.com>", NULL, HOST_SMTP_BAD_SENDER},
        {"MAIL FROM:<.a@example.com>", NULL, HOST_SMTP_BAD_SENDER},
        {"MAIL FROM:<a.@example.com>", NULL, HOST_SMTP_BAD_SENDER},
        {"MAIL FROM:<a@>", NULL, HOST_SMTP_BAD_SENDER},
        {"MAIL FROM:<a@example..com>", NULL, HOST_SMTP_BAD_SENDER},
        {"MAIL FROM:<a@-example.com>", NULL, HOST_SMTP_BAD_SENDER},
        {"MAIL FROM:<@one.example:>", NULL, HOST_SMTP_BAD_SENDER},
        {"MAIL FROM:<\"a@example.com>", NULL, HOST_SMTP_BAD_SENDER},
        {"RCPT TO:<>", NULL, HOST_SMTP_BAD_RECIPIENT},
        {"RCPT TO:<a@b@c>", NULL, HOST_SMTP_BAD_RECIPIENT},
        {"RCPT FROM:<a@example.com>", NULL, HOST_SMTP_BAD_SYNTAX},
        {"MAIL", NULL, HOST_SMTP_BAD_SYNTAX},
        {"MAIL FROM:<\xc3\xa4@example.com>", NULL, HOST_SMTP_NEEDS_UTF8},
        {"MAIL FROM:<\xc3\xa4@example.com> SMTPUTF8", "\xc3\xa4@example.com", HOST_SMTP_OK},
        {"RCPT TO:<\xc3\xa4@example.com>", "\xc3\xa4@example.com", HOST_SMTP_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct host_smtp_command c;
        enum host_smtp_error error = parse(cases[i].line, &c);
        if (error != cases[i].error)
            print_error("%s: %d\n", cases[i].line, error);
        assert_int_equal(error, cases[i].error);
        if (cases[i].address)
            assert_string_equal(c.address, cases[i].address);
    }
}

static void limits(void **state)
{
    struct host_smtp_command c;
    char local[66], domain[300], line[512];
    memset(local, 'a', 65);
    local[65] = '\0';
    snprintf(line, sizeof line, "RCPT TO:<%s@example.com>", local);
    assert_int_equal(parse(line, &c), HOST_SMTP_LONG_ADDRESS);
    assert_string_equal(c.address, "");
    snprintf(line, sizeof line, "RCPT TO:<%s@example.com>", local + 1);
    assert_int_equal(parse(line, &c), HOST_SMTP_OK);
    memset(domain, 'd', 256);
    domain[256] = '\0';
    snprintf(line, sizeof line, "RCPT TO:<a@%s>", domain);
    assert_int_equal(parse(line, &c), HOST_SMTP_LONG_ADDRESS);
    snprintf(line, sizeof line, "RCPT TO:<%s@%s>", local + 1, domain + 1);
    assert_int_equal(parse(line, &c), HOST_SMTP_OK);
    assert_int_equal(strlen(c.address), HOST_SMTP_ADDRESS_MAX);
}

static void parameters(void **state)
{
    struct host_smtp_command c;
    assert_int_equal(
        parse("MAIL FROM:<a@b.c> SIZE=1234 BODY=8bitmime RET=hdrs ENVID=QQ+3D1 AUTH=e+3Dm@b.c", &c),
        HOST_SMTP_OK);
    assert_true(c.has_size);
    assert_int_equal(c.size, 1234);
    assert_int_equal(c.body, HOST_SMTP_BODY_8BITMIME);
    assert_string_equal(c.ret, "HDRS");
    assert_string_equal(c.envid, "QQ=1");
    assert_string_equal(c.auth, "e=m@b.c");
    assert_int_equal(parse("MAIL FROM:<> AUTH=<>", &c), HOST_SMTP_OK);
    assert_string_equal(c.auth, "<>");
    assert_int_equal(parse("RCPT TO:<a@b.c> NOTIFY=success,Delay ORCPT=rfc822;x+2By@b.c", &c), HOST_SMTP_OK);
    assert_string_equal(c.notify, "SUCCESS,DELAY");
    assert_string_equal(c.orcpt, "rfc822;x+y@b.c");

    static const char *const bad[] = {
        "MAIL FROM:<> SIZE=",
        "MAIL FROM:<> SIZE",
        "MAIL FROM:<> SIZE=-1",
        "MAIL FROM:<> SIZE=1 SIZE=1",
        "MAIL FROM:<> SIZE=99999999999999999999",
        "MAIL FROM:<> BODY=9BIT",
        "MAIL FROM:<> SMTPUTF8=1",
        "MAIL FROM:<> RET=BOTH",
        "MAIL FROM:<> ENVID=+0D+0A",
        "MAIL FROM:<> ENVID=+4",
        "RCPT TO:<a@b.c> NOTIFY=NEVER,DELAY",
        "RCPT TO:<a@b.c> NOTIFY=DELAY,NEVER",
        "RCPT TO:<a@b.c> NOTIFY=DELAY,",
        "RCPT TO:<a@b.c> NOTIFY=DELAY,DELAY",
        "RCPT TO:<a@b.c> ORCPT=a@b.c",
        "RCPT TO:<a@b.c> ORCPT=rfc822;",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (parse(bad[i], &c) != HOST_SMTP_BAD_PARAMETER)
            print_error("%s\n", bad[i]);
        assert_int_equal(parse(bad[i], &c), HOST_SMTP_BAD_PARAMETER);
    }
    assert_int_equal(parse("MAIL FROM:<> XYZ=1", &c), HOST_SMTP_NO_PARAMETER);
    assert_int_equal(parse("RCPT TO:<a@b.c> SIZE=1", &c), HOST_SMTP_NO_PARAMETER);
    assert_int_equal(parse("MAIL FROM:<> BODY=BINARYMIME", &c), HOST_SMTP_BAD_PARAMETER);
}

static void replies(void **state)
{
    for (int error = HOST_SMTP_BAD_VERB; error <= HOST_SMTP_NO_PARAMETER; error++)
        assert_int_equal(host_smtp_command_reply(error)[0], '5');
    assert_memory_equal(host_smtp_command_reply(HOST_SMTP_NO_PARAMETER), "555", 3);
    assert_memory_equal(host_smtp_command_reply(HOST_SMTP_BAD_VERB), "500", 3);
    assert_memory_equal(host_smtp_command_reply(HOST_SMTP_BAD_RECIPIENT), "501", 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verbs),      cmocka_unit_test(addresses), cmocka_unit_test(limits),
        cmocka_unit_test(parameters), cmocka_unit_test(replies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
