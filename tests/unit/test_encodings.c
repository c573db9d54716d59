/* SPDX-License-Identifier: MIT */

/* mq.base64, mq.hex, mq.quoted_printable, mq.url, mq.hash, mq.hmac, mq.random: forms, misuse, limits.
 * tests/smtp/test_encodings.py compares their results with Python's. */

#include "script.h"

#include "api/digests.h"
#include "api/encodings.h"
#include "api/random.h"

typedef struct fixture {
    mqlua_env env;
} fixture;

static int set_up(void **state)
{
    static void (*parts[])(lua_State *) = {mqlua_encodings_open, mqlua_digests_open, mqlua_random_open, NULL};
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    script_vm(&f->env, parts);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    mqlua_vm_free(f->env.vm);
    free(f);
    return 0;
}

static mqlua_vm *vm_of(void **state)
{
    return ((fixture *)*state)->env.vm;
}

/* Each line: an expression, and what it gives. */
static void gives(mqlua_vm *vm, const char *const (*cases)[2])
{
    char text[600];
    for (; (*cases)[0]; cases++) {
        snprintf(text, sizeof text, "return %s", (*cases)[0]);
        script_gives(vm, text, (*cases)[1]);
    }
}

static void raises(mqlua_vm *vm, const char *const (*cases)[2])
{
    char text[600], expected[600];
    for (; (*cases)[0]; cases++) {
        snprintf(text, sizeof text, "local x = %s", (*cases)[0]);
        snprintf(expected, sizeof expected, "%s", (*cases)[1]);
        script_raises(vm, text, expected);
    }
}

static void test_base64(void **state)
{
    static const char *const cases[][2] = {
        {"mq.base64.encode('')", ""},
        {"mq.base64.encode('f')", "Zg=="},
        {"mq.base64.encode('foobar')", "Zm9vYmFy"},
        {"mq.base64.decode('Zm9vYg==')", "foob"},
        {"mq.base64.decode(' Zm9v\\r\\n\\tYg ==\\n')", "foob"},
        {"mq.base64.decode('Zm9vYg')", "foob"},
        {"mq.base64.decode('')", ""},
        {"#mq.base64.decode('AAAA')", "3"},
        {"select(2, mq.base64.decode('Zm9v*'))", "byte 5 is no base64"},
        {"select(2, mq.base64.decode('Zm9vYg=='..'Zg=='))", "byte 9 is no base64"},
        {"select(2, mq.base64.decode('='))", "byte 1 is no base64"},
        {"select(2, mq.base64.decode('Zg==='))", "byte 5 is no base64"},
        {"select(2, mq.base64.decode('Zm9v='))", "byte 5 is no base64"},
        {"select(2, mq.base64.decode('Zg='))", "the base64 is cut off or has surplus bits"},
        {"select(2, mq.base64.decode('Z'))", "the base64 is cut off or has surplus bits"},
        {"select(2, mq.base64.decode('Zh=='))", "the base64 is cut off or has surplus bits"},
        {"select(2, mq.base64.decode('Zm9='))", "the base64 is cut off or has surplus bits"},
        {"select(2, mq.base64.decode('-_-_'))", "byte 1 is no base64"},
        {"mq.base64url.encode('\\251\\255\\254f')", "-__-Zg"},
        {"mq.base64url.encode('\\251\\255\\254f', {pad = true})", "-__-Zg=="},
        {"mq.base64url.decode('-__-Zg') == '\\251\\255\\254f'", "true"},
        {"mq.base64url.decode('-__-Zg==') == '\\251\\255\\254f'", "true"},
        {"select(2, mq.base64url.decode('Zm9v Yg'))", "byte 5 is no base64url"},
        {NULL, NULL},
    };
    gives(vm_of(state), cases);
}

static void test_hex(void **state)
{
    static const char *const cases[][2] = {
        {"mq.hex.encode('\\0\\127\\128\\255')", "007f80ff"},
        {"mq.hex.decode('6a4A') == 'jJ'", "true"},
        {"select(2, mq.hex.decode('6a4'))", "the number of hexadecimal digits is odd"},
        {"select(2, mq.hex.decode('6a4g'))", "byte 4 is no hexadecimal digit"},
        {"select(2, mq.hex.decode('6a 4'))", "byte 3 is no hexadecimal digit"},
        {NULL, NULL},
    };
    gives(vm_of(state), cases);
}

static void test_quoted_printable(void **state)
{
    static const char *const cases[][2] = {
        {"mq.quoted_printable.encode('a=b')", "a=3Db"},
        {"mq.quoted_printable.encode('a \\nb\\t\\r\\nc ')", "a=20\r\nb=09\r\nc=20"},
        {"mq.quoted_printable.encode('a\\r\\nb', {binary = true})", "a=0D=0Ab"},
        {"mq.quoted_printable.encode('.\\nFrom me\\nFromage')", "=2E\r\n=46rom me\r\nFromage"},
        {"mq.quoted_printable.encode(('x'):rep(76)) == ('x'):rep(76)", "true"},
        {"mq.quoted_printable.encode(('x'):rep(77)) == ('x'):rep(75)..'=\\r\\nxx'", "true"},
        {"mq.quoted_printable.encode(('x'):rep(75)..'=') == ('x'):rep(75)..'=\\r\\n=3D'", "true"},
        {"mq.quoted_printable.encode(('x'):rep(75)..'.y') == ('x'):rep(75)..'=\\r\\n=2Ey'", "true"},
        {"mq.quoted_printable.decode('a=3Db=c3=A9') == 'a=b\\195\\169'", "true"},
        {"mq.quoted_printable.decode('a  \\r\\nb=  \\r\\nc \\t') == 'a\\r\\nbc'", "true"},
        {"mq.quoted_printable.decode('a=zz=4=') == 'a=zz=4'", "true"},
        {"mq.quoted_printable.decode('=') == ''", "true"},
        {"mq.quoted_printable.decode('=4')", "=4"},
        {"mq.quoted_printable.decode('= x')", "= x"},
        {NULL, NULL},
    };
    gives(vm_of(state), cases);
}

static void test_url(void **state)
{
    static const char *const cases[][2] = {
        {"mq.url.encode('a b/\\195\\169~-._')", "a%20b%2F%C3%A9~-._"},
        {"mq.url.encode('a b+', {form = true})", "a+b%2B"},
        {"mq.url.decode('a%20b+%2f')", "a b+/"},
        {"mq.url.decode('a+b%2B', {form = true})", "a b+"},
        {"mq.url.decode('100%')", "100%"},
        {"mq.url.decode('%4')", "%4"},
        {"mq.url.decode('%zz%41')", "%zzA"},
        {NULL, NULL},
    };
    gives(vm_of(state), cases);
}

static void test_hashes(void **state)
{
    static const char *const cases[][2] = {
        {"mq.hash.md5('abc')", "900150983cd24fb0d6963f7d28e17f72"},
        {"mq.hash.sha1('abc')", "a9993e364706816aba3e25717850c26c9cd0d89d"},
        {"mq.hash.sha256('')", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"mq.hex.encode(mq.hash.md5('abc', {raw = true}))", "900150983cd24fb0d6963f7d28e17f72"},
        {"#mq.hash.sha512('abc', {raw = true})", "64"},
        /* RFC 2202 and 4231 */
        {"mq.hmac.md5('Jefe', 'what do ya want for nothing?')", "750c783e6ab0b503eaa86e310a5db738"},
        {"mq.hmac.sha256('Jefe', 'what do ya want for nothing?')",
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {"mq.hmac.sha1('', '')", "fbdb1d1b18aa6c08324b7d64b71fb76370690e1d"},
        {"#mq.hmac.sha1(('k'):rep(1000), 'x', {raw = true})", "20"},
        /* one context serves all of them, also after a failure in between */
        {"pcall(mq.hmac.sha256, 'k')", "false"},
        {"mq.hmac.sha256('key', 'The quick brown fox jumps over the lazy dog')",
         "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"},
        {"mq.equal('secret', 'secret')", "true"},
        {"mq.equal('secret', 'secres')", "false"},
        {"mq.equal('secret', 'secre')", "false"},
        {"mq.equal(nil, 'x')", "false"},
        {"mq.equal(nil, nil)", "false"},
        {"mq.equal('', '')", "true"},
        {NULL, NULL},
    };
    gives(vm_of(state), cases);
}

static void test_misuse(void **state)
{
    static const char *const cases[][2] = {
        {"mq.hash.sha256()", "policy.lua:1: bad argument #1 to 'sha256' (string expected, got no value)"},
        {"mq.hash.sha256('', {rwa = true})", "policy.lua:1: mq.hash has no option 'rwa': it knows 'raw'"},
        {"mq.hash.sha256('', {raw = 1})", "policy.lua:1: mq.hash: the option 'raw' must be true or false"},
        {"mq.hash.sha256('', true)",
         "policy.lua:1: bad argument #2 to 'sha256' (table expected, got boolean)"},
        {"mq.base64.decode(nil)", "policy.lua:1: bad argument #1 to 'decode' (string expected, got nil)"},
        {"mq.equal('x')", "policy.lua:1: bad argument #2 to 'equal' (value expected)"},
        {"mq.random.bytes(0)", "policy.lua:1: bad argument #1 (1 to 1048576 bytes)"},
        {"mq.random.token(1e9)", "policy.lua:1: bad argument #1 (1 to 192 bytes)"},
        {"mq.random.token(0/0)", "policy.lua:1: bad argument #1 (1 to 192 bytes)"},
        {"mq.random.integer(1, 1.5)", "policy.lua:1: bad argument #2 to 'integer' (a whole number expected)"},
        {"mq.random.integer(2, 1)",
         "policy.lua:1: mq.random.integer: low must not be above high, nor 2^53 below it"},
        {NULL, NULL},
    };
    raises(vm_of(state), cases);
}

static void test_random(void **state)
{
    mqlua_vm *vm = vm_of(state);
    script_gives(vm, "return #mq.random.bytes(1000)", "1000");
    script_gives(vm, "return #mq.random.token()", "22");
    script_gives(vm, "return mq.random.token() ~= mq.random.token()", "true");
    script_gives(vm, "return mq.uuid():match('^%x+%-%x%x%x%x%-4%x%x%x%-[89ab]%x%x%x%-%x+$') ~= nil", "true");
    script_gives(vm, "return #mq.uuid()", "36");
    script_gives(vm, "return mq.random.integer(7, 7)", "7");
    /* all numbers come, and no others */
    script_gives(vm,
                 "local seen, count = {}, 0\n"
                 "for _ = 1, 1000 do\n"
                 "  local n = mq.random.integer(-2, 3)\n"
                 "  if n < -2 or n > 3 or n % 1 ~= 0 then error(n) end\n"
                 "  if not seen[n] then count = count + 1 end\n"
                 "  seen[n] = true\n"
                 "end\n"
                 "return count",
                 "6");
}

/* Work on megabytes is charged, and what was made until then is counted. */
static void test_limits(void **state)
{
    static const char *const calls[] = {
        "mq.hash.sha512(s)",
        "mq.hmac.sha512('k', s)",
        "mq.base64.encode(s)",
        "mq.base64.decode(s)",
        "mq.hex.encode(s)",
        "mq.hex.decode(s)",
        "mq.url.encode(s)",
        "mq.url.decode(s)",
        "mq.quoted_printable.encode(s)",
        "mq.quoted_printable.decode(s)",
        "mq.equal(s, s)",
        "mq.random.bytes(2^20)",
    };
    mqlua_vm *vm = vm_of(state);
    mqlua_vm_set_budget(vm, 0.05);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        char text[200];
        snprintf(text, sizeof text, "local s = ('a'):rep(2^20) while true do local _ = %s end", calls[i]);
        script s = {.text = text};
        char *error = NULL;
        assert_int_not_equal(mqlua_vm_call(vm, l_run_script, &s, &error), 0);
        assert_non_null(strstr(error, "run-time budget of 50 ms is spent"));
        free(error);
    }
    mqlua_vm_set_budget(vm, 0);
    script_raises(vm, "local s = ('='):rep(20 * 2^20) mq.quoted_printable.encode(s)",
                  "not enough memory (the cap is 65536 KB)");
    script_gives(vm, "return mq.hash.md5('abc')", "900150983cd24fb0d6963f7d28e17f72");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_base64, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hex, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_quoted_printable, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_url, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hashes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_misuse, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_random, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limits, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
