/* SPDX-License-Identifier: MIT */

/* Settings: defaults, every key, and errors that say where. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cidr.h"
#include "policy/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static mqlua_settings *parse(const char *text)
{
    char *error = NULL;
    mqlua_settings *settings = mqlua_settings_parse(text, strlen(text), "s.json", &error);
    if (!settings)
        print_error("%s\n", error);
    assert_non_null(settings);
    assert_null(error);
    return settings;
}

static void refuses(const char *text, const char *expected)
{
    char *error = NULL;
    mqlua_settings *settings = mqlua_settings_parse(text, strlen(text), "s.json", &error);
    assert_null(settings);
    assert_non_null(error);
    assert_string_equal(error, expected);
    free(error);
}

static void defaults(void **state)
{
    mqlua_settings *s = parse("{}");
    assert_string_equal(s->file, "s.json");
    assert_string_equal(s->policy, "/etc/mailerq-lua/policy.lua");
    assert_string_equal(s->state_dir, "/var/lib/mailerq-lua");
    assert_false(s->start_without_policy);
    assert_int_equal(s->limits.memory, 64 << 20);
    assert_true(s->limits.budget == 0.1);
    assert_false(s->limits.jit);
    assert_int_equal(s->limits.allow, 0);
    assert_true(s->deadline_in == 5 && s->deadline_out == 2 && s->hold == 10);
    assert_int_equal(s->host.api_version, MQLUA_UNKNOWN);
    assert_int_equal(s->host.read_flag, MQLUA_UNKNOWN);
    assert_int_equal(s->host.write_flag, MQLUA_UNKNOWN);
    assert_int_equal(s->host.json_library, MQLUA_UNKNOWN);
    assert_int_equal(s->host.address_api, MQLUA_UNKNOWN);
    assert_int_equal(s->host.local_api, MQLUA_UNKNOWN);
    assert_int_equal(s->host.reply_never, MQLUA_UNKNOWN);
    assert_false(s->host.inbox_mailerq);
    assert_non_null(s->host.proxies);
    assert_null(s->host.proxies[0]);
    assert_true(s->reload.watch);
    mqlua_settings_free(s);
}

static void every_key(void **state)
{
    mqlua_settings *s = parse(
        "{\"policy\": \"/p/x.lua\", \"state_dir\": \"/s\", \"start_without_policy\": true, \"memory\": \"2 "
        "gb\","
        "\"budget\": 0.25, \"deadline\": {\"incoming\": 7, \"outgoing\": 3.5}, \"hold\": 0, \"jit\": true,"
        "\"allow\": [\"os.exit\", \"bytecode\"],"
        "\"host\": {\"api_version\": 7, \"read_flag\": 1, \"write_flag\": 2, \"json_library\": \"json-c\","
        "\"address_api\": \"address\", \"local_api\": \"message\", \"reply_after_send\": \"never\","
        "\"proxies\": [\"192.0.2.0/24\", \"2001:db8::1\"], \"inbox\": \"mailerq\"},"
        "\"reload\": {\"watch\": false, \"quiet\": 1, \"poll\": 0, \"trial\": 10, \"error_rate\": 0.5,"
        "\"min_errors\": 3}}");
    assert_string_equal(s->policy, "/p/x.lua");
    assert_string_equal(s->state_dir, "/s");
    assert_true(s->start_without_policy);
    assert_true(s->limits.memory == (size_t)2 << 30);
    assert_true(s->limits.budget == 0.25);
    assert_true(s->deadline_in == 7 && s->deadline_out == 3.5 && s->hold == 0);
    assert_true(s->limits.jit);
    assert_int_equal(s->limits.allow, MQLUA_ALLOW_OS_EXIT | MQLUA_ALLOW_BYTECODE);
    assert_int_equal(s->host.api_version, 7);
    assert_int_equal(s->host.read_flag, 1);
    assert_int_equal(s->host.write_flag, 2);
    assert_int_equal(s->host.json_library, 0);
    assert_int_equal(s->host.address_api, 1);
    assert_int_equal(s->host.local_api, 0);
    assert_int_equal(s->host.reply_never, 1);
    assert_true(s->host.inbox_mailerq);
    assert_string_equal(s->host.proxies[0], "192.0.2.0/24");
    assert_string_equal(s->host.proxies[1], "2001:db8::1");
    assert_null(s->host.proxies[2]);
    assert_false(s->reload.watch);
    assert_true(s->reload.quiet == 1 && s->reload.poll == 0 && s->reload.trial == 10);
    assert_true(s->reload.error_rate == 0.5);
    assert_int_equal(s->reload.min_errors, 3);
    mqlua_settings_free(s);
}

static void memory_forms(void **state)
{
    static const struct {
        const char *text;
        size_t bytes;
    } forms[] = {{"{\"memory\": 1048576}", 1 << 20},
                 {"{\"memory\": \"1048576\"}", 1 << 20},
                 {"{\"memory\": \"2048KB\"}", 2 << 20},
                 {"{\"memory\": \"64MB\"}", 64 << 20},
                 {"{\"memory\": 0}", 0}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        mqlua_settings *s = parse(forms[i].text);
        assert_int_equal(s->limits.memory, forms[i].bytes);
        mqlua_settings_free(s);
    }
    const char *wrong =
        "s.json:1:12: memory must be bytes or text such as \"64MB\", from 1MB to 64GB, or 0 for no limit";
    refuses("{\"memory\": 1}", wrong);
    refuses("{\"memory\": -1}", wrong);
    refuses("{\"memory\": 1e9}", wrong);
    refuses("{\"memory\": \"64 MBit\"}", wrong);
    refuses("{\"memory\": \"99999999999999999999MB\"}", wrong);
    refuses("{\"memory\": \"-64MB\"}", wrong);
    refuses("{\"memory\": []}", wrong);
}

static void errors_say_where(void **state)
{
    refuses("{\n  \"polcy\": \"/x\"\n}", "s.json:2:3: unknown key 'polcy'; did you mean 'policy'?");
    refuses("{\"zzzzzzzzzzzz\": 1}", "s.json:1:2: unknown key 'zzzzzzzzzzzz'");
    refuses("{\"hold\": 1,\n \"host\": {\n\t\"read_flg\": 1}}",
            "s.json:3:2: unknown key 'read_flg'; did you mean 'read_flag'?");
    refuses("{\"deadline\": {\"incoming\" : 5,\n\"outgoing\":\n\n  \"2\"}}",
            "s.json:4:3: outgoing must be a number of seconds");
    refuses("{\"jit\": 1}", "s.json:1:9: jit must be true or false");
    refuses("{\"jit\": null}", "s.json:1:9: jit must be true or false");
    refuses("{\"hold\": 601}", "s.json:1:10: hold must be from 0 to 600 seconds");
    refuses("{\"hold\": -1}", "s.json:1:10: hold must be from 0 to 600 seconds");
    refuses("{\"host\": []}", "s.json:1:10: host must be an object");
    refuses("[]", "s.json:1:1: settings must be an object");
    refuses("  \n []", "s.json:2:2: settings must be an object");
    refuses("{\"policy\": \"policy.lua\"}",
            "s.json:1:12: policy must be an absolute path, such as \"/etc/mailerq-lua/policy.lua\"");
    refuses("{\"host\": {\"api_version\": 1.0}}", "s.json:1:26: api_version must be an integer");
    refuses("{\"host\": {\"api_version\": 4294967296}}",
            "s.json:1:26: api_version must be from 0 to 2147483647");
    refuses("{\"host\": {\"inbox\": \"x\"}}", "s.json:1:20: inbox must be one of \"other\", \"mailerq\"");
    refuses("{\"host\": {\"read_flag\": 1, \"write_flag\": 1}}",
            "s.json: host.read_flag and host.write_flag must differ");
}

static void errors_in_lists(void **state)
{
    refuses("{\"allow\": \"jit\"}", "s.json:1:11: allow must be a list");
    refuses("{\"allow\": [\"jit\",\n \"JIT\"]}", "s.json:2:2: allow knows \"os.exit\", \"os.execute\", "
                                                 "\"io.popen\", \"os.setlocale\", \"debug\", \"jit\", "
                                                 "\"ffi\", \"cmodules\", \"bytecode\"");
    refuses("{\"allow\": [1]}", "s.json:1:12: allow knows \"os.exit\", \"os.execute\", \"io.popen\", "
                                "\"os.setlocale\", \"debug\", \"jit\", "
                                "\"ffi\", \"cmodules\", \"bytecode\"");
    refuses("{\"host\": {\"proxies\": [\"192.0.2.1\",\n\n  \"10.0.0.1/8\"]}}",
            "s.json:3:3: proxies: '10.0.0.1/8' has bits set behind the prefix: '10.0.0.0/8' is the network");
    refuses("{\"host\": {\"proxies\": [{}]}}",
            "s.json:1:23: proxies must hold texts such as \"192.0.2.0/24\"");
}

/* What stands before the wrong value must not confuse the search for it. */
static void positions_behind_anything(void **state)
{
    refuses("{\"allow\": [], \"policy\": \"/a\\\"}{][,:\\\\\", \"host\": {\"proxies\": [\"::/0\"], "
            "\"inbox\": \"other\"},"
            "\"state_dir\": \"/\xc3\xa4\", \"jit\": 2}",
            "s.json:1:115: jit must be true or false");
    refuses("{\"j\\u0069t\": 7}", "s.json:1:14: jit must be true or false");
    mqlua_settings_free(parse("{\"hold\":1.5e0,\"budget\":-0}\n"));
}

static void syntax(void **state)
{
    static const char *const bad[] = {"",
                                      "{",
                                      "{\"hold\": 1,}",
                                      "{\"hold\": 1 \"jit\": true}",
                                      "{} x",
                                      "{\"hold\": 1, \"hold\": 2}",
                                      "{\"policy\": \"/\\u0000\"}",
                                      "{\"policy\": \"/\xff\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *error = NULL;
        assert_null(mqlua_settings_parse(bad[i], strlen(bad[i]), "s.json", &error));
        int line = 0, column = -1;
        assert_int_equal(sscanf(error, "s.json:%d:%d: ", &line, &column), 2);
        assert_int_equal(line, 1);
        free(error);
    }
}

/* jansson would pass over a NUL behind a number. */
static void nul_bytes(void **state)
{
    static const char text[] = "{\n \"hold\": 3\0}";
    char *error = NULL;
    assert_null(mqlua_settings_parse(text, sizeof text - 1, "s.json", &error));
    assert_string_equal(error, "s.json:2:11: a NUL byte");
    free(error);
}

static char *temporary(const char *text)
{
    char *path = strdup(P_tmpdir "/mqlua-settings-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    return path;
}

static void environment(void **state)
{
    char *error = NULL;
    char *path = temporary("{\"policy\": \"/a\", \"state_dir\": \"/b\"}");
    setenv("MAILERQ_LUA_SETTINGS", path, 1);
    mqlua_settings *s = mqlua_settings_load(&error);
    assert_string_equal(s->file, path);
    assert_string_equal(s->policy, "/a");
    mqlua_settings_free(s);
    setenv("MAILERQ_LUA_POLICY", "p.lua", 1);
    setenv("MAILERQ_LUA_STATE_DIR", "/state", 1);
    s = mqlua_settings_load(&error);
    assert_int_equal(s->policy[0], '/'); /* the host may change its working folder */
    assert_string_equal(strrchr(s->policy, '/'), "/p.lua");
    assert_string_equal(s->state_dir, "/state");
    mqlua_settings_free(s);
    unlink(path);
    assert_null(mqlua_settings_load(&error));
    assert_non_null(strstr(error, path));
    assert_non_null(strstr(error, "No such file"));
    free(error);
    setenv("MAILERQ_LUA_SETTINGS", "/", 1);
    assert_null(mqlua_settings_load(&error));
    assert_string_equal(error, "/: Is a directory");
    free(error);
    free(path);
    unsetenv("MAILERQ_LUA_SETTINGS");
    unsetenv("MAILERQ_LUA_POLICY");
    unsetenv("MAILERQ_LUA_STATE_DIR");
}

/* Every key has a row with its type and default in docs/SETTINGS.md, and there are no other rows. */
static void documentation(void **state)
{
    static char text[1 << 16];
    FILE *file = fopen("docs/SETTINGS.md", "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    size_t keys = 0, rows = 0;
    char name[64];
    const char *type, *fallback;
    while (mqlua_settings_describe(keys, name, &type, &fallback)) {
        char start[160], expected[160];
        snprintf(start, sizeof start, "\n| `%s` | %s |", name, type);
        const char *row = strstr(text, start);
        if (!row)
            fail_msg("docs/SETTINGS.md has no row '| `%s` | %s |'", name, type);
        const char *unit_end = strchr(row + strlen(start), '|');
        assert_non_null(unit_end);
        if (fallback)
            snprintf(expected, sizeof expected, "| `%s` |", fallback);
        else
            snprintf(expected, sizeof expected, "| not set |");
        if (strncmp(unit_end, expected, strlen(expected)) != 0)
            fail_msg("docs/SETTINGS.md: the default of %s is not '%s'", name, expected);
        keys++;
    }
    for (const char *row = text; (row = strstr(row, "\n| `")); row++)
        rows++;
    assert_true(keys > 20);
    assert_int_equal(rows, keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),        cmocka_unit_test(every_key),
        cmocka_unit_test(memory_forms),    cmocka_unit_test(errors_say_where),
        cmocka_unit_test(errors_in_lists), cmocka_unit_test(positions_behind_anything),
        cmocka_unit_test(syntax),          cmocka_unit_test(environment),
        cmocka_unit_test(nul_bytes),       cmocka_unit_test(documentation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
