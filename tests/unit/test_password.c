/* SPDX-License-Identifier: MIT */

/* Passwords against hashes of crypt: alone, and as a waiting call of a script. */

#include "script.h"

#include "api/password.h"
#include "base/threads.h"
#include "fake_loop.h"

#include <stdio.h>

static mqlua_password_result check(const char *password, const char *hash)
{
    return mqlua_password_check(password, strlen(password), hash);
}

static void hashes(void **state)
{
    /* Published test vectors of sha-crypt and bcrypt. */
    static const char sha256[] = "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5";
    static const char sha512[] = "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI"
                                 "68u4OTLiBFdcbYEdFCoEOfaS35inz1";
    static const char bcrypt[] = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
    assert_int_equal(check("Hello world!", sha256), MQLUA_PASSWORD_RIGHT);
    assert_int_equal(check("Hello world!", sha512), MQLUA_PASSWORD_RIGHT);
    assert_int_equal(check("U*U", bcrypt), MQLUA_PASSWORD_RIGHT);
    assert_int_equal(check("Hello world", sha256), MQLUA_PASSWORD_WRONG);
    assert_int_equal(check("", sha512), MQLUA_PASSWORD_WRONG);
    assert_int_equal(check("U*V", bcrypt), MQLUA_PASSWORD_WRONG);
    assert_int_equal(mqlua_password_check("Hello world!\0x", 14, sha256), MQLUA_PASSWORD_WRONG);
    char longest[2000];
    memset(longest, 'x', sizeof longest);
    assert_int_equal(mqlua_password_check(longest, sizeof longest, sha256), MQLUA_PASSWORD_WRONG);
    char cut[sizeof sha256];
    strcpy(cut, sha256);
    cut[sizeof sha256 - 2] = 0;
    assert_int_equal(check("Hello world!", cut), MQLUA_PASSWORD_UNUSABLE);
}

/* One hash of "secret" for each method that there is. */
static void methods(void **state)
{
    static const char *const right[] = {
        "$y$j9T$$kqN0Js9nF7eERE.51024UC4tcxd3UwTViEvi9nw9G41",
        "$7$CU..../....abc$wAuEOYcLM7kO6uZQXQIbfiQLCU8Fy1YXPblM7CyxZH3",
        "$sha1$1000$abc$3BouD4k4kpP9zZN7ajk83qnpfntH",
        "$md5$abc$$d58Mv6cKJpt6jI/4bf.2r/",
        "$md5,rounds=5$abc$$0QWNlDH6Yw8TvqkIYi4yc1",
        "_J9..abcd/H6HLCcf7nw",
        "abNANd1rDfiNc",
        "$3$$878d8014606cda29677a44efa1353fc7",
        "$1$abc$iCQ2D3nhptRYi27fDYv2s1",
        "$2y$05$CCCCCCCCCCCCCCCCCCCCC.pIKrLVkBX9/OvQMSygY1pWEVn72t6na",
        "$2x$05$CCCCCCCCCCCCCCCCCCCCC.pIKrLVkBX9/OvQMSygY1pWEVn72t6na",
        "$5$abc$qsg6EHbUzHQzF1POlD7zUwBINSELQxypPaeDcZe6vH0",
        "$6$rounds=1000$abc$MqEcPZUYRGGcOeq7PhMpfjfu/"
        "F0HrVEI0OlZBijWvO8mSG77iNUDP5MqFceKpJTBc8iITVtNyLiNTRNCxv6oh0",
    };
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        if (mqlua_password_judge(right[i]) != MQLUA_PASSWORD_RIGHT)
            fail_msg("'%s'", right[i]);
        mqlua_password_result result = check("secret", right[i]);
        /* a crypt of the system without this method says so */
        if (result != MQLUA_PASSWORD_RIGHT && result != MQLUA_PASSWORD_UNUSABLE)
            fail_msg("'%s'", right[i]);
    }
}

static void unusable(void **state)
{
    static const char *const none[] = {"",
                                       "*",
                                       "!",
                                       "x",
                                       "*0",
                                       "!$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
                                       "{SHA}fEqNCco3Yq9h5ZUglD3CZJT4lBs=",
                                       "$unknown$x",
                                       "notahash",
                                       "$6$saltstring$",
                                       "$6$rounds=5000saltstring$x",
                                       "$2b$1x$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
                                       "$2b$5$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
                                       "$sha1$-1$abc$3BouD4k4kpP9zZN7ajk83qnpfntH",
                                       "$sha1$ 20000000000$abc$3BouD4k4kpP9zZN7ajk83qnpfntH",
                                       "$md5,rounds=0x7fffffff$abc$$0QWNlDH6Yw8TvqkIYi4yc1",
                                       "$y$k9T$$kqN0Js9nF7eERE.51024UC4tcxd3UwTViEvi9nw9G41",
                                       "abNANd1rDfiNcabNANd1rDfiNc"};
    static const char *const expensive[] = {"$6$rounds=999999999$saltstring$x",
                                            "$5$rounds=5000001$saltstring$x",
                                            "$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
                                            "$y$jRT$75PF98FVKsbBOd8VvMTfg/$x",
                                            "$sha1$2000000000$abc$3BouD4k4kpP9zZN7ajk83qnpfntH",
                                            "$sha1$18446744073709551617$abc$3BouD4k4kpP9zZN7ajk83qnpfntH",
                                            "$md5,rounds=2000000000$abc$$0QWNlDH6Yw8TvqkIYi4yc1",
                                            "_zzzzabcd/H6HLCcf7nw",
                                            "$7$CU....U....abc$wAuEOYcLM7kO6uZQXQIbfiQLCU8Fy1YXPblM7CyxZH3",
                                            "$7$/zzzzz/....abc$wAuEOYcLM7kO6uZQXQIbfiQLCU8Fy1YXPblM7CyxZH3",
                                            "$y$j9zzzzz$abcd$kqN0Js9nF7eERE.51024UC4tcxd3UwTViEvi9nw9G41",
                                            "$y$j9TJ2$abcd$kqN0Js9nF7eERE.51024UC4tcxd3UwTViEvi9nw9G41",
                                            "$6$rounds=1000001$saltstring$x",
                                            "$2y$15$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (check("secret", none[i]) != MQLUA_PASSWORD_UNUSABLE)
            fail_msg("'%s'", none[i]);
    for (size_t i = 0; i < sizeof expensive / sizeof *expensive; i++)
        if (check("secret", expensive[i]) != MQLUA_PASSWORD_EXPENSIVE)
            fail_msg("'%s'", expensive[i]);
}

static char result[4096];
static int ends;

static int nothing(lua_State *L)
{
    return 0;
}

static int load_handler(lua_State *L)
{
    const char **text = lua_touserdata(L, 1);
    if (luaL_loadstring(L, text[0]))
        return lua_error(L);
    text[1] = (const char *)(intptr_t)luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushcfunction(L, nothing);
    text[2] = (const char *)(intptr_t)luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static void ended(mqlua_task *task, const mqlua_end *end, void *ud)
{
    ends++;
    if (end->outcome == MQLUA_DONE)
        snprintf(result, sizeof result, "%s", lua_tostring(end->co, -1));
    else
        snprintf(result, sizeof result, "%s", end->outcome == MQLUA_FAILED ? end->error : "cancelled");
}

static mqlua_task *start(mqlua_vm *vm, const char *text)
{
    const char *refs[3] = {text, NULL, NULL};
    char *error = NULL;
    ends = 0;
    if (mqlua_vm_setup(vm, load_handler, refs, &error))
        fail_msg("%s", error);
    return mqlua_task_start(vm, mqlua_task_lane(vm), (int)(intptr_t)refs[1], (int)(intptr_t)refs[2], ended,
                            NULL);
}

static void gives(mqlua_vm *vm, const char *text, const char *expected)
{
    mqlua_lanes lanes;
    double now = mqlua_time_now();
    mqlua_lanes_init(&lanes, NULL, NULL, NULL);
    mqlua_task_attach(vm, &lanes);
    start(vm, text);
    while (!ends) {
        fake_turn();
        mqlua_lanes_run(&lanes, &now);
    }
    mqlua_task_attach(vm, NULL);
    assert_int_equal(ends, 1);
    assert_string_equal(result, expected);
}

#define HASH "'$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5'"

static void in_lua(void **state)
{
    void (*parts[])(lua_State *) = {mqlua_password_open, NULL};
    mqlua_env env = {.loop = fake_loop(), .threads = mqlua_threads_new(), .phase = MQLUA_SERVING};
    mqlua_vm *vm = script_vm(&env, parts);
    gives(vm, "return tostring(mq.password.verify('Hello world!', " HASH "))", "true");
    gives(vm, "return tostring(mq.password.verify('hello world!', " HASH "))", "false");
    gives(vm,
          "local ok, text, code = mq.password.verify('x', '!') return tostring(ok) .. '|' .. text .. '|' .. "
          "code",
          "nil|the hash is none that crypt knows, or disabled|unusable");
    gives(vm, "return select(3, mq.password.verify('x', ('x'):rep(1000)))", "unusable");
    gives(vm, "return select(3, mq.password.verify('x', 'notahash'))", "unusable");
    gives(vm, "return tostring(mq.password.verify(('x'):rep(2e7), " HASH "))", "false");
    gives(vm, "return select(3, mq.password.verify('x', '$5$rounds=99999999$x$x'))", "expensive");
    gives(vm, "return tostring(pcall(mq.password.verify, 'Hello world!', " HASH "))", "true");
    script_raises(
        vm, "mq.password.verify('x', 'y')",
        "policy.lua:1: mq.password.verify cannot wait here: a policy that loads, 'initialize', 'cleanup', "
        "'context_*' and functions of mq.defer run to their end at once; use mq.spawn or mq.after inside an "
        "event");
    script_raises(vm, "mq.password.verify('x')",
                  "policy.lua:1: bad argument #2 to 'verify' (string expected, got no value)");
    mqlua_vm_free(vm);
    mqlua_threads_detach(env.threads, mqlua_loop_mailbox(env.loop));
    mqlua_loop_free(env.loop);
    mqlua_threads_free(env.threads);
}

/* The task is cancelled, or the whole vm goes, with the check queued, running or delivered. */
static void given_up(void **state)
{
    void (*parts[])(lua_State *) = {mqlua_password_open, NULL};
    mqlua_env env = {.loop = fake_loop(), .threads = mqlua_threads_new(), .phase = MQLUA_SERVING};
    mqlua_vm *vm = script_vm(&env, parts);
    for (int i = 0; i < 30; i++) {
        mqlua_task *task = start(vm, "return tostring(mq.password.verify('x', " HASH "))");
        assert_non_null(task);
        if (i % 3 == 1)
            fake_turn(); /* delivered, not resumed yet */
        mqlua_task_cancel(task);
        assert_int_equal(ends, 1);
        assert_string_equal(result, "cancelled");
    }
    gives(vm, "return tostring(mq.password.verify('Hello world!', " HASH "))", "true");
    for (int i = 0; i < 10; i++)
        start(vm, "return tostring(mq.password.verify('x', " HASH "))");
    mqlua_vm_free(vm);
    /* The other way round: the worker's loop is detached first. */
    vm = script_vm(&env, parts);
    for (int i = 0; i < 10; i++)
        start(vm, "return tostring(mq.password.verify('x', " HASH "))");
    mqlua_threads_detach(env.threads, mqlua_loop_mailbox(env.loop));
    mqlua_vm_free(vm);
    mqlua_loop_free(env.loop);
    mqlua_threads_free(env.threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes), cmocka_unit_test(methods),  cmocka_unit_test(unusable),
        cmocka_unit_test(in_lua), cmocka_unit_test(given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
