/* SPDX-License-Identifier: MIT */

/* Data files: parsing, look-ups, many threads at once, and what Lua sees of them. */

#include "script.h"

#include "api/cidr.h"
#include "api/clock.h"
#include "api/logging.h"
#include "base/log_limit.h"
#include "api/data.h"
#include "base/lookup.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static mqlua_lookup *parse(const char *text, bool map)
{
    char *error = NULL;
    mqlua_lookup *lookup = mqlua_lookup_parse(text, strlen(text), "f", map, &error);
    if (!lookup)
        fail_msg("%s", error);
    return lookup;
}

static const char *get(const mqlua_lookup *lookup, const char *key, bool address)
{
    static char copy[128];
    const char *value;
    size_t size;
    bool found = address ? mqlua_lookup_address(lookup, key, strlen(key), &value, &size)
                         : mqlua_lookup_get(lookup, key, strlen(key), &value, &size);
    if (!found)
        return NULL;
    snprintf(copy, sizeof copy, "%.*s", (int)size, value);
    return copy;
}

static void maps(void **state)
{
    mqlua_lookup *map = parse("\xef\xbb\xbf# comment\n\n  Key\tvalue with  blanks \r\n"
                              "a@b.example x\n@b.example y # kept\nlast 1\nlast 1\nK\xc3\x84 v",
                              true);
    assert_int_equal(mqlua_lookup_count(map), 5);
    assert_string_equal(get(map, "key", false), "value with  blanks");
    assert_string_equal(get(map, "KEY", false), "value with  blanks");
    assert_string_equal(get(map, "last", false), "1");
    assert_string_equal(get(map, "k\xc3\x84", false), "v");
    assert_null(get(map, "k\xc3\xa4", false)); /* ASCII only */
    assert_null(get(map, "ke", false));
    assert_null(get(map, "key ", false));
    assert_null(get(map, "#", false));
    assert_null(get(map, "", false));
    assert_string_equal(get(map, "A@B.Example", true), "x");
    assert_string_equal(get(map, "c@b.example", true), "y # kept");
    assert_string_equal(get(map, "\"x@y\"@b.example", true), "y # kept");
    assert_null(get(map, "b.example", true));
    assert_null(get(map, "key", true));
    assert_null(get(map, "", true));
    mqlua_lookup_free(map);
}

/* One mailbox, one spelling: in the file and in what is asked for. */
static void spellings(void **state)
{
    static const char *const joe[] = {
        "joe@example.org",        "JOE@Example.ORG",           "\"joe\"@example.org",
        "\"j\\oe\"@example.org.", "<joe@example.org>",         "j\\oe@example.org",
        "joe(x)@example.org",     "@one,@two:joe@example.org", NULL};
    static const char *const names[] = {"b\xc3\xbc"
                                        "cher.example",
                                        "B\xc3\x9c"
                                        "CHER.EXAMPLE.",
                                        "xn--bcher-kva.example", "XN--BCHER-KVA.Example.", NULL};
    char text[200], address[100];
    for (int i = 0; joe[i]; i++) {
        snprintf(text, sizeof text, "other x\n%s 1\n@Example.NET. 2\n\"a b\"@x.example  three words here\n",
                 joe[i]);
        mqlua_lookup *map = parse(text, true);
        for (int j = 0; joe[j]; j++) {
            assert_string_equal(get(map, joe[j], true), "1");
            assert_string_equal(get(map, joe[j], false), "1");
        }
        assert_string_equal(get(map, "any one\"@example.net..", true), "2");
        assert_string_equal(get(map, "\"a\\ B\"@X.example.", true), "three words here");
        assert_null(get(map, "\"joe \"@example.org", true));
        assert_null(get(map, "joe@example.org.net", true));
        assert_null(get(map, "other.", false)); /* no domain, no address: as it is */
        mqlua_lookup_free(map);
    }
    for (int i = 0; names[i]; i++) {
        snprintf(text, sizeof text, "%s\n@%s\n", names[i], names[i]);
        mqlua_lookup *set = parse(text, false);
        assert_int_equal(mqlua_lookup_count(set), 2);
        for (int j = 0; names[j]; j++) {
            assert_non_null(get(set, names[j], false));
            snprintf(address, sizeof address, "joe@%s", names[j]);
            assert_non_null(get(set, address, true));
        }
        mqlua_lookup_free(set);
    }
    char *error = NULL;
    const char *twice = "joe@x 1\n\n\"joe\"@X. 2\n";
    assert_null(mqlua_lookup_parse(twice, strlen(twice), "f", true, &error));
    assert_string_equal(error, "f:3: 'joe@x' has another value in line 1");
    free(error);
}

static void sets(void **state)
{
    mqlua_lookup *set = parse("one\nTWO # second\n\n#three\none\n@example.org", false);
    assert_int_equal(mqlua_lookup_count(set), 3);
    assert_string_equal(get(set, "two", false), "");
    assert_null(get(set, "three", false));
    assert_string_equal(get(set, "anybody@example.org", true), "");
    mqlua_lookup_free(set);
    set = parse("", false);
    assert_int_equal(mqlua_lookup_count(set), 0);
    assert_null(get(set, "x", false));
    mqlua_lookup_free(set);
}

static void refuses(const char *text, size_t size, bool map, const char *expected)
{
    char *error = NULL;
    assert_null(mqlua_lookup_parse(text, size, "data/f", map, &error));
    assert_string_equal(error, expected);
    free(error);
}

static void wrong_lines(void **state)
{
    static char longest[1100];
    memset(longest, 'k', sizeof longest);
    refuses("a b\n\nkey\n", 9, true, "data/f:3: 'key' has no value (mq.set reads keys alone)");
    refuses("a\nb c\n", 6, false,
            "data/f:2: more than one word: in a set a line is one key (mq.map reads values)");
    refuses("A 1\n#\na 2\n", 10, true, "data/f:3: 'a' has another value in line 1");
    refuses("a\n\0\n", 4, false, "data/f:2: a NUL byte: this is no text file");
    refuses(longest, sizeof longest, false, "data/f:1: a key of more than 1000 bytes");
    mqlua_lookup *set = mqlua_lookup_parse(longest, 1000, "f", false, NULL);
    assert_true(mqlua_lookup_get(set, longest, 1000, NULL, NULL));
    assert_false(mqlua_lookup_get(set, longest, 1001, NULL, NULL));
    mqlua_lookup_free(set);
}

static void *reader(void *arg)
{
    const mqlua_lookup *map = arg;
    char key[32];
    for (unsigned i = 0; i < 1000000; i += 17) {
        const char *value;
        size_t size;
        int n = snprintf(key, sizeof key, "USER%u@example.org", i);
        if (!mqlua_lookup_get(map, key, (size_t)n, &value, &size) || (unsigned)strtoul(value, NULL, 10) != i)
            return arg;
        n = snprintf(key, sizeof key, "nobody%u@example.org", i);
        if (mqlua_lookup_get(map, key, (size_t)n, NULL, NULL))
            return arg;
    }
    return NULL;
}

static void a_million_entries(void **state)
{
    size_t size = 0;
    char *text = malloc(40 << 20);
    for (unsigned i = 0; i < 1000000; i++)
        size += (size_t)sprintf(text + size, "user%u@example.org %u\n", i, i);
    char *error = NULL;
    mqlua_lookup *map = mqlua_lookup_parse(text, size, "f", true, &error);
    assert_non_null(map);
    assert_int_equal(mqlua_lookup_count(map), 1000000);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader, map), 0);
    for (int i = 0; i < 3; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    mqlua_lookup_free(map);
    free(text);
}

static void put(const char *folder, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void in_lua(void **state)
{
    char folder[] = P_tmpdir "/mqlua-lookup-XXXXXX", path[128], command[128];
    void (*parts[])(lua_State *) = {mqlua_data_open, mqlua_cidr_open, mqlua_clock_open, mqlua_logging_open,
                                    NULL};
    assert_non_null(mkdtemp(folder));
    put(folder, "policy.lua", "");
    put(folder, "routes", "user@example.org one\n@example.org two\n");
    put(folder, "blocked", "spam.example\nbad@example.org\n");
    put(folder, "wrong", "x\n");
    put(folder, "late", "x\n");
    snprintf(path, sizeof path, "%s/policy.lua", folder);
    char *error = NULL;
    mqlua_env env = {.bundle = mqlua_bundle_open(path, &error), .generation = 7};
    assert_non_null(env.bundle);
    mqlua_vm *vm = script_vm(&env, parts);
    script_gives(vm, "return mq.map('routes'):get('USER@example.org')", "one");
    script_gives(vm, "return mq.map('routes'):get('nobody@example.org')", "nil");
    script_gives(vm, "return mq.map('routes'):lookup('nobody@example.org')", "two");
    script_gives(vm, "return mq.map('routes'):lookup(nil)", "nil");
    script_gives(vm, "return mq.map('routes'):contains('@example.org')", "true");
    script_gives(vm, "return #mq.map('routes')", "2");
    script_gives(vm, "return mq.set('blocked'):contains('SPAM.example')", "true");
    script_gives(vm, "return mq.set('blocked'):contains(nil)", "false");
    script_gives(vm, "return mq.set('blocked'):lookup('bad@example.org')", "true");
    script_gives(vm, "return mq.set('blocked'):lookup('good@example.org')", "false");
    script_gives(vm, "return #mq.set('blocked')", "2");
    script_gives(vm, "return mq.file('blocked')", "spam.example\nbad@example.org\n");
    script_raises(vm, "mq.map('wrong')",
                  "policy.lua:1: mq.map: wrong:1: 'x' has no value (mq.set reads keys alone)");
    script_raises(vm, "mq.set('blocked'):contains()",
                  "policy.lua:1: bad argument #1 to 'contains' (value expected)");
    script_raises(vm, "mq.file('')", "policy.lua:1: bad argument #1 to 'file' (a path)");
    mqlua_bundle_seal(env.bundle);
    script_gives(vm, "return mq.map('routes'):lookup('user@example.org')", "one");
    script_raises(
        vm, "mq.set('late')",
        "policy.lua:1: mq.set: late: not part of the policy as it was read: files are read only while the "
        "policy loads");
    mqlua_vm_free(vm);
    mqlua_bundle_unref(env.bundle);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
}

static void networks_in_lua(void **state)
{
    void (*parts[])(lua_State *) = {mqlua_cidr_open, NULL};
    mqlua_env env = {0};
    mqlua_vm *vm = script_vm(&env, parts);
    script_gives(vm, "return mq.cidr{'10.0.0.0/8', '2001:db8::/32'}:contains('10.1.2.3')", "true");
    script_gives(vm, "return mq.cidr{'10.0.0.0/8'}:contains('11.1.2.3')", "false");
    script_gives(vm, "return mq.cidr{'10.0.0.0/8'}:contains(nil)", "false");
    script_gives(vm, "return mq.cidr{}:contains('10.0.0.1')", "false");
    script_gives(vm,
                 "return mq.cidr('# ours\\n10.0.0.0/8 # x\\n\\n192.0.2.1,192.0.2.2'):contains('192.0.2.2')",
                 "true");
    script_raises(
        vm, "mq.cidr{'10.0.0.0/8', '10.0.0.1/8'}",
        "policy.lua:1: mq.cidr: entry 2: '10.0.0.1/8' has bits set behind the prefix: '10.0.0.0/8' is the "
        "network");
    script_raises(vm, "mq.cidr{'10.0.0.0/8', 5}", "policy.lua:1: mq.cidr: entry 2 is a number, not a text");
    script_raises(vm, "mq.cidr(5)", "policy.lua:1: bad argument #1 to 'cidr' (string expected, got number)");
    script_raises(vm, "mq.cidr{}:contains('x')", "policy.lua:1: cidr:contains: 'x' is not an IP address");
    mqlua_vm_free(vm);
}

static char logged[8][1100];
static int lines;

static void fake_log(int level, const char *text)
{
    snprintf(logged[lines++ % 8], sizeof logged[0], "%d %s", level, text);
}

static void clock_and_log(void **state)
{
    void (*parts[])(lua_State *) = {mqlua_clock_open, mqlua_logging_open, NULL};
    mqlua_symbols symbols = {.log = fake_log};
    mqlua_env env = {.symbols = &symbols, .generation = 7, .phase = MQLUA_SERVING};
    mqlua_vm *vm = script_vm(&env, parts);
    script_gives(vm, "return mq.now() > 1.6e9 and mq.monotonic() >= 0 and mq.monotonic() <= mq.monotonic()",
                 "true");
    script_gives(vm, "\nmq.log.info('100%')", "nil");
    assert_string_equal(logged[0], "3 policy.lua:2: 100% (generation 7)");
    script_gives(vm, "mq.log.warn('%s has %d', 'x', 3)", "nil");
    assert_string_equal(logged[1], "2 policy.lua:1: x has 3 (generation 7)");
    env.phase = MQLUA_CHECKING;
    script_gives(vm, "mq.log.error('a\\nb')", "nil");
    assert_string_equal(logged[2], "1 policy.lua:1: a b (check)");
    script_raises(vm, "\nmq.log.info('%d', 'x')",
                  "policy.lua:2: bad argument #2 to 'info' (number expected, got string)");
    script_raises(vm, "mq.log.info()",
                  "policy.lua:1: bad argument #1 to 'info' (string expected, got no value)");
    assert_int_equal(lines, 3);
    mqlua_vm_free(vm);
}

static void log_limit(void **state)
{
    mqlua_log_limit limit = {0};
    unsigned suppressed = 99;
    for (int i = 0; i < 10; i++) {
        assert_true(mqlua_log_allow(&limit, 100, &suppressed));
        assert_int_equal(suppressed, 0);
    }
    for (int i = 0; i < 5; i++)
        assert_false(mqlua_log_allow(&limit, 100.05, &suppressed));
    assert_true(mqlua_log_allow(&limit, 100.11, &suppressed));
    assert_int_equal(suppressed, 5);
    assert_false(mqlua_log_allow(&limit, 100.11, &suppressed));
    assert_false(mqlua_log_allow(&limit, 50, &suppressed)); /* a clock that goes back gives nothing */
    for (int i = 0; i < 10; i++)
        assert_true(mqlua_log_allow(&limit, 1000, &suppressed));
    assert_false(mqlua_log_allow(&limit, 1000, &suppressed));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps),
        cmocka_unit_test(spellings),
        cmocka_unit_test(sets),
        cmocka_unit_test(wrong_lines),
        cmocka_unit_test(a_million_entries),
        cmocka_unit_test(in_lua),
        cmocka_unit_test(networks_in_lua),
        cmocka_unit_test(clock_and_log),
        cmocka_unit_test(log_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
