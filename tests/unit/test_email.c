/* SPDX-License-Identifier: MIT */

/* Addresses, form by form: what is one, what its parts mean, and which are the same mailbox. */

#include "base/email.h"
#include "base/idn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define A32         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A63         A32 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A64         A32 A32
#define LONG_DOMAIN A63 "." A63 "." A63 /* 191 bytes */

/* ---- what is an address ---- */

static const char *const right[] = {
    "joe@example.org",
    "Joe@EXAMPLE.org",
    "j@e",
    "joe@localhost",
    "joe.doe@example.org",
    "j.o.e@e.x.a",
    "joe+tag@example.org",
    "joe-doe@example.org",
    "_@example.org",
    "!#$%&'*+-/=?^_`{|}~@example.org",
    "1@2.example",
    "joe@1.2.example",
    "joe@ex-ample.org",
    "joe@ex--ample.org",
    "joe@xn--bcher-kva.example",
    "joe@a_b.example",
    "joe@_dmarc.example",
    "joe@123",
    "joe%old.example@new.example",
    "old!joe@new.example",
    "\"joe\"@example.org",
    "\"\"@example.org",
    "\" \"@example.org",
    "\"a b\"@example.org",
    "\"a@b\"@example.org",
    "\"us>er\"@example.org",
    "\"a,b\"@example.org",
    "\"a..b\"@example.org",
    "\".\"@example.org",
    "\"a\\\"b\"@example.org",
    "\"a\\\\b\"@example.org",
    "\"no\\body\"@example.org",
    "\"(x)\"@example.org",
    "\"<>[]:;,\"@example.org",
    "joe@[192.0.2.1]",
    "joe@[0.0.0.0]",
    "joe@[255.255.255.255]",
    "joe@[192.000.002.001]",
    "joe@[IPv6:2001:db8::1]",
    "joe@[ipv6:::1]",
    "joe@[IPv6:::ffff:192.0.2.1]",
    "joe@[IPv6:1:2:3:4:5:6:7:8]",
    "j\xc3\xb6"
    "e@example.org",
    "\"j\xc3\xb6 e\"@example.org",
    "joe@b\xc3\xbc"
    "cher.example",
    "\xe4\xb8\xad@\xe4\xb8\xad.example",
    "\xf0\x9f\x98\x80@example.org",
    A64 "@example.org",
    "joe@" A63 ".example",
    "joe@" LONG_DOMAIN,
    A32 "@" LONG_DOMAIN ".aaaaaaaaaaaaaaaaaaaaaaaaaaaaa" /* 254 bytes */,
    "joe=doe@example.org",
    "-joe@example.org",
    "joe-@example.org",
    "\"joe.\"@example.org",
    "'joe'@example.org",
    "{joe}@example.org",
    "postmaster@[192.0.2.1]",
};

/* With a part of the reason that is given. */
static const struct {
    const char *text, *reason;
} wrong[] = {
    {"", "is empty"},
    {"joe", "no @"},
    {"postmaster", "no @"},
    {"<>", "no @"},
    {"user@", "nothing behind"},
    {"a@", "nothing behind"},
    {"@", "nothing before"},
    {"@b.example", "nothing before"},
    {"a@b@c", "more than one @"},
    {"a@@b", "more than one @"},
    {"a@b@", "more than one @"},
    {"u@x.example,b@x.example", "more than one address"},
    {"u@x.example;b@x.example", "more than one address"},
    {"u@x.example, b@x.example", "more than one address"},
    {"a,b@example.org", "more than one address"},
    {"a;b@example.org", "more than one address"},
    {"a b@example.org", "blank"},
    {" joe@example.org", "blank"},
    {"joe@example.org ", "blank"},
    {"joe @example.org", "blank"},
    {"joe@ example.org", "blank"},
    {"joe@exam ple.org", "blank"},
    {"joe@example.org SIZE=1", "blank"},
    {"\tjoe@example.org", "control"},
    {"joe@example.org\n", "control"},
    {"joe@example.org\r\nRCPT TO:<a@b>", "control"},
    {"jo\x01"
     "e@x",
     "control"},
    {"jo\x7f"
     "e@x",
     "control"},
    {"\"jo\te\"@x", "control"},
    {"jo\xc2\x85"
     "e@x",
     "control"},
    {"joe@x\x1b", "control"},
    {"jo\xff"
     "e@example.org",
     "UTF-8"},
    {"joe@ex\xe4mple.org", "UTF-8"},
    {"j\xc0\xaf@x", "UTF-8"},
    {"j\xed\xa0\x80@x", "UTF-8"},
    {"j\xc3@x", "UTF-8"},
    {"joe@x\xc3", "UTF-8"},
    {"\"j\xff\"@x", "UTF-8"},
    {"<joe@example.org>", "angle brackets"},
    {"joe@example.org>", "angle brackets"},
    {"<joe@example.org", "angle brackets"},
    {"us>er@example.org", "angle brackets"},
    {"Joe <joe@example.org>", "blank"},
    {"Joe<joe@example.org>", "angle brackets"},
    {"mailto:joe@example.org", "needs quotes"},
    {".joe@example.org", "dot"},
    {"joe.@example.org", "dot"},
    {"joe..doe@example.org", "dot"},
    {".@example.org", "dot"},
    {"joe@.example.org", "dot"},
    {"joe@example..org", "dot"},
    {"joe@example.org.", "ends with a dot"},
    {"joe@.", "dot"},
    {"joe@-example.org", "hyphen"},
    {"joe@example-.org", "hyphen"},
    {"joe@example.org-", "hyphen"},
    {"joe@-", "hyphen"},
    {"joe@exa$mple.org", "behind the @"},
    {"joe@example.org:25", "behind the @"},
    {"joe@example.org/x", "behind the @"},
    {"joe@(c)example.org", "behind the @"},
    {"joe@\"x\"", "behind the @"},
    {"joe(c)@example.org", "needs quotes"},
    {"(c)joe@example.org", "needs quotes"},
    {"joe\\@example.org", "needs quotes"},
    {"jo\\e@example.org", "needs quotes"},
    {"jo\"e@example.org", "needs quotes"},
    {"\"joe@example.org", "quote"},
    {"\"joe\\\"@example.org", "quote"},
    {"\"joe\"doe@example.org", "needs quotes"},
    {"joe\"doe\"@example.org", "needs quotes"},
    {"\"joe\".\"doe\"@example.org", "needs quotes"},
    {"\"a@b\"", "no @"},
    {"[joe]@example.org", "needs quotes"},
    {"joe:doe@example.org", "needs quotes"},
    {"@one.example:joe@x", "nothing before"},
    {"joe@[", "brackets"},
    {"joe@[]", "brackets"},
    {"joe@[192.0.2.1", "brackets"},
    {"joe@192.0.2.1]", "behind"},
    {"joe@[192.0.2]", "brackets"},
    {"joe@[192.0.2.256]", "brackets"},
    {"joe@[192.0.2.1.5]", "brackets"},
    {"joe@[192.0.2.0001]", "brackets"},
    {"joe@[2001:db8::1]", "brackets"},
    {"joe@[IPv6:]", "brackets"},
    {"joe@[IPv6:2001:db8::1::2]", "brackets"},
    {"joe@[IPv6:fe80::1%eth0]", "brackets"},
    {"joe@[IPv6:192.0.2.1]", "brackets"},
    {"joe@[example.org]", "brackets"},
    {"joe@[192.0.2.1].example", "brackets"},
    {A64 "a@example.org", "64 bytes"},
    {"joe@" A63 "a.example", "63 bytes"},
    {"joe@" LONG_DOMAIN "." A63 "a", "255 bytes"},
    {A64 "@" LONG_DOMAIN, "254 bytes"},
    {"\"" A63 "\"@example.org", "64 bytes"},
    {"#@", "nothing behind"},
    {"joe@#1234", "behind the @"},
};

static void the_rule(void **state)
{
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        const char *reason = mqlua_email_wrong(right[i], strlen(right[i]));
        if (reason)
            fail_msg("'%s' is right, but it %s", right[i], reason);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *reason = mqlua_email_wrong(wrong[i].text, strlen(wrong[i].text));
        if (!reason || !strstr(reason, wrong[i].reason))
            fail_msg("'%s' should be wrong because it %s, not '%s'", wrong[i].text, wrong[i].reason,
                     reason ? reason : "right");
    }
    assert_non_null(mqlua_email_wrong("a\0b@c", 5));
    assert_non_null(mqlua_email_wrong("a@c\0", 4));
}

/* ---- what the parts mean ---- */

static const struct {
    const char *text, *local, *domain;
} parts[] = {
    {"joe@example.org", "joe", "example.org"},
    {"Joe@EXAMPLE.Org", "Joe", "example.org"},
    {"<joe@example.org>", "joe", "example.org"},
    {"joe@example.org.", "joe", "example.org"},
    {"joe@EXAMPLE.ORG..", "joe", "example.org"},
    {"\"joe\"@example.org", "joe", "example.org"},
    {"\"no\\body\"@example.org", "nobody", "example.org"},
    {"\"a b\"@example.org", "a b", "example.org"},
    {"\"a@b\"@example.org", "a@b", "example.org"},
    {"\"a\\\"b\"@example.org", "a\"b", "example.org"},
    {"\"a\\\\b\"@example.org", "a\\b", "example.org"},
    {"\"\"@example.org", "", "example.org"},
    {"\"us>er\"@old.example", "us>er", "old.example"},
    {"<\"us>er\"@old.example>", "us>er", "old.example"},
    {"\"joe\".\"doe\"@example.org", "joe.doe", "example.org"},
    {"jo\"e\"@example.org", "joe", "example.org"},
    {"jo\\e@example.org", "joe", "example.org"},
    {"a\\@b@example.org", "a@b", "example.org"},
    {"joe(home)@example.org", "joe", "example.org"},
    {"(a(b)c)joe@example.org", "joe", "example.org"},
    {"joe@(c)example.org", "joe", "example.org"},
    {"joe@example(c).org", "joe", "example.org"},
    {"joe(a@b)@example.org", "joe", "example.org"},
    {"joe @ example.org", "joe", "example.org"},
    {"joe(@example.org", "joe(", "example.org"},
    {"\"joe@example.org", "\"joe", "example.org"},
    {"@one,@two:joe@example.org", "joe", "example.org"},
    {"@[192.0.2.1]:joe@example.org", "joe", "example.org"},
    {"@[IPv6:::1],@b:joe@example.org", "joe", "example.org"},
    {"@one:\"joe\"@example.org", "joe", "example.org"},
    {"joe%old@example.org", "joe%old", "example.org"},
    {"old!joe@example.org", "old!joe", "example.org"},
    {"a@b@c.example", "a@b", "c.example"},
    {"joe@", "joe", ""},
    {"@example.org", "", "example.org"},
    {"postmaster", "postmaster", ""},
    {"\"postmaster\"", "postmaster", ""},
    {"", "", ""},
    {"<>", "", ""},
    {"@", "", ""},
    {"\\", "\\", ""},
    {"joe@[192.0.2.1]", "joe", "[192.0.2.1]"},
    {"joe@[192.000.002.001]", "joe", "[192.0.2.1]"},
    {"joe@[IPv6:2001:DB8:0:0::1]", "joe", "[ipv6:2001:db8::1]"},
    {"joe@[ipv6:2001:db8::1]", "joe", "[ipv6:2001:db8::1]"},
    {"joe@[nothing]", "joe", "[nothing]"},
    {"joe@B\xc3\xbc"
     "CHER.example",
     "joe",
     "b\xc3\xbc"
     "cher.example"},
    {"\xdd@\xdd\xc0", "\xdd", "\xdd\xc0"},
    {"joe@\xff\xfe\"x", "joe", "\xff\xfe\"x"},
};

static void the_parts(void **state)
{
    char out[MQLUA_EMAIL_KEY];
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        mqlua_email email;
        mqlua_email_read(&email, parts[i].text, strlen(parts[i].text));
        size_t size = mqlua_email_local(&email, out);
        out[size] = '\0';
        if (strcmp(out, parts[i].local) != 0)
            fail_msg("local part of '%s': '%s', not '%s'", parts[i].text, out, parts[i].local);
        size = mqlua_email_domain(&email, false, out);
        out[size] = '\0';
        if (strcmp(out, parts[i].domain) != 0)
            fail_msg("domain of '%s': '%s', not '%s'", parts[i].text, out, parts[i].domain);
    }
}

/* ---- which are the same ---- */

static const struct {
    const char *a, *b;
    bool same;
} pairs[] = {
    {"joe@example.org", "joe@example.org", true},
    {"joe@example.org", "joe@EXAMPLE.ORG", true},
    {"joe@example.org", "Joe@example.org", false},
    {"joe@example.org", "joe@example.org.", true},
    {"joe@example.org", "<joe@example.org>", true},
    {"joe@example.org", "\"joe\"@example.org", true},
    {"joe@example.org", "\"j\\oe\"@Example.Org.", true},
    {"joe@example.org", "j\\oe@example.org", true},
    {"joe@example.org", "\"joe \"@example.org", false},
    {"joe@example.org", "joe(c)@example.org", true},
    {"joe@example.org", "@a,@b:joe@example.org", true},
    {"joe@example.org", "joe@example.net", false},
    {"joe@example.org", "doe@example.org", false},
    {"joe@example.org", "joe@example.org.net", false},
    {"\"a b\"@x.example", "\"a\\ b\"@X.example", true},
    {"\"a@b\"@x", "a\\@b@x", true},
    {"\"a@b\"@x", "a@b@x", true},
    {"joe%a@b", "joe@b", false},
    {"a!joe@b", "joe@b", false},
    {"joe+x@b", "joe@b", false},
    {"joe@[192.0.2.1]", "joe@[192.00.002.1]", true},
    {"joe@[192.0.2.1]", "joe@192.0.2.1", false},
    {"joe@[IPv6:2001:db8::1]", "joe@[ipv6:2001:DB8:0:0:0:0:0:1]", true},
    {"joe@[IPv6:::ffff:192.0.2.1]", "joe@[IPv6:::ffff:c000:201]", true},
    {"joe@[IPv6:2001:db8::1]", "joe@[IPv6:2001:db8::2]", false},
    {"joe@b\xc3\xbc"
     "cher.example",
     "joe@xn--bcher-kva.example", true},
    {"joe@B\xc3\x9c"
     "CHER.example",
     "joe@XN--BCHER-KVA.example.", true},
    {"joe@\xd0\x9f\xd0\xa0\xd0\x98.example", "joe@\xd0\xbf\xd1\x80\xd0\xb8.example", true},
    {"joe@\xce\x9b.example", "joe@\xce\xbb.example", true},
    {"joe@\xc5\xb8.example", "joe@\xc3\xbf.example", true},
    {"joe@\xe4\xb8\xad\xe6\x96\x87.example", "joe@xn--fiq228c.example", true},
    {"joe@b\xc3\xbc"
     "cher.example",
     "joe@bucher.example", false},
    {"j\xc3\xb6@x", "j\xc3\x96@x", false},
    {"joe@\xfc.example", "joe@\xdc.example", false},
    {"postmaster", "Postmaster", true},
    {"postmaster", "postmaster@x", false},
    {"", "<>", true},
    {"", "@", false},
    {"joe@", "joe", false},
};

static bool same(const char *a, const char *b)
{
    mqlua_email one, other;
    mqlua_email_read(&one, a, strlen(a));
    mqlua_email_read(&other, b, strlen(b));
    return mqlua_email_same(&one, &other, false);
}

static void the_same(void **state)
{
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (same(pairs[i].a, pairs[i].b) != pairs[i].same || same(pairs[i].b, pairs[i].a) != pairs[i].same)
            fail_msg("'%s' and '%s' %s the same", pairs[i].a, pairs[i].b, pairs[i].same ? "are" : "are not");
}

/* ---- the rest ---- */

/* RFC 3492 7.1 and others: what DNS has for a name. */
static void a_labels(void **state)
{
    static const char *const names[][2] = {
        {"b\xc3\xbc"
         "cher",
         "xn--bcher-kva"},
        {"M\xc3\xbcnchen.Ost", "xn--mnchen-3ya.Ost"},
        {"\xc3\xbc", "xn--tda"},
        {"a.\xc3\xbc.b", "a.xn--tda.b"},
        {"plain.example", "plain.example"},
        {"\xd9\x84\xd9\x8a\xd9\x87\xd9\x85\xd8\xa7\xd8\xa8\xd8\xaa\xd9\x83\xd9\x84\xd9\x85\xd9\x88\xd8\xb4"
         "\xd8\xb9"
         "\xd8\xb1\xd8\xa8\xd9\x8a\xd8\x9f",
         "xn--egbpdaj6bu4bxfgehfvwxn"},
        {"\xe4\xbb\x96\xe4\xbb\xac\xe4\xb8\xba\xe4\xbb\x80\xe4\xb9\x88\xe4\xb8\x8d\xe8\xaf\xb4\xe4\xb8\xad"
         "\xe6\x96\x87",
         "xn--ihqwcrb4cv8a8dqg056pqjye"},
        {"3\xe5\xb9\xb4"
         "b\xe7\xb5\x84\xe9\x87\x91\xe5\x85\xab\xe5\x85\x88\xe7\x94\x9f",
         "xn--3b-ww4c5e180e575a65lsy2b"},
        {"\xf0\x9f\x92\xa9", "xn--ls8h"},
        {"\xff.\xc3\xbc", "\xff.xn--tda"},
        {"\xc3\x9f", "xn--zca"},
    };
    char out[4 * 200 + 8];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t size = mqlua_idn_to_ascii(names[i][0], strlen(names[i][0]), out, NULL);
        out[size] = '\0';
        assert_string_equal(out, names[i][1]);
    }
    /* too long for a label: it stays */
    const char *many =
        "\xe4\xb8\xad\xe5\xb8\xad\xe6\xb8\xad\xe7\xb8\xad\xe8\xb8\xad\xe9\xb8\xad\xe4\xb9\xad\xe5\xb9\xad\xe6"
        "\xb9"
        "\xad\xe7\xb9\xad\xe8\xb9\xad\xe9\xb9\xad\xe4\xba\xad\xe5\xba\xad\xe6\xba\xad\xe7\xba\xad\xe8\xba\xad"
        "\xe9\xba\xad\xe4\xbb\xad\xe5\xbb\xad\xe6\xbb\xad\xe7\xbb\xad\xe8\xbb\xad";
    size_t left = 0;
    assert_int_equal(mqlua_idn_to_ascii(many, strlen(many), out, &left), strlen(many));
    assert_int_equal(left, 1);
}

static void quotes(void **state)
{
    static const char *const locals[][2] = {
        {"joe", "joe"},
        {"a.b", "a.b"},
        {"", "\"\""},
        {"a b", "\"a b\""},
        {"a@b", "\"a@b\""},
        {"a\"b", "\"a\\\"b\""},
        {"a\\b", "\"a\\\\b\""},
        {"a..b", "\"a..b\""},
        {".a", "\".a\""},
        {"a.", "\"a.\""},
        {"us>er", "\"us>er\""},
        {"\"joe\"", "\"\\\"joe\\\"\""},
        {"j\xc3\xb6", "j\xc3\xb6"},
    };
    char out[100], back[100];
    for (size_t i = 0; i < sizeof locals / sizeof *locals; i++) {
        size_t size = mqlua_email_quote(locals[i][0], strlen(locals[i][0]), out);
        memcpy(out + size, "@x", 3);
        assert_int_equal(strncmp(out, locals[i][1], size), 0);
        assert_int_equal(size, strlen(locals[i][1]));
        assert_null(mqlua_email_wrong(out, size + 2));
        mqlua_email email;
        mqlua_email_read(&email, out, size + 2);
        size = mqlua_email_local(&email, back);
        assert_int_equal(size, strlen(locals[i][0]));
        assert_memory_equal(back, locals[i][0], size);
    }
}

static void parameters(void **state)
{
    static const struct {
        const char *text;
        size_t size;
    } cut[] = {
        {"a@b SIZE=1", 3},      {"a@b", 3},       {"", 0},           {" a@b", 0},    {"\"a b\"@c x", 7},
        {"\"a\\\" b\"@c x", 9}, {"\"a b@c x", 2}, {"a(x y)@b z", 8}, {"a(x y@b", 3}, {"<a@b> x", 5},
    };
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++)
        assert_int_equal(mqlua_email_length(cut[i].text, strlen(cut[i].text)), cut[i].size);
}

/* A text that no server takes costs as much as its size, not the square of it. */
static void long_texts(void **state)
{
    static char text[1 << 20], out[1 << 20];
    mqlua_email email;
    memset(text, '(', sizeof text);
    memcpy(text + sizeof text - 5, "@B.c.", 5);
    mqlua_email_read(&email, text, sizeof text);
    assert_int_equal(mqlua_email_local(&email, out), sizeof text - 5);
    assert_int_equal(mqlua_email_domain(&email, true, out), 3);
    assert_memory_equal(out, "b.c", 3);
    assert_true(mqlua_email_same(&email, &email, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rule),   cmocka_unit_test(the_parts), cmocka_unit_test(the_same),
        cmocka_unit_test(a_labels),   cmocka_unit_test(quotes),    cmocka_unit_test(parameters),
        cmocka_unit_test(long_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
