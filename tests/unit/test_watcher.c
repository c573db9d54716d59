/* SPDX-License-Identifier: MIT */

/* What counts as a change of a policy, and when it has come to rest; and the list of refused policies. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "folder.h"
#include "policy/refused.h"
#include "policy/watcher.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int make_root(void **state)
{
    strcpy(root, P_tmpdir "/mqlua-watcher-XXXXXX");
    if (!mkdtemp(root))
        return -1;
    put("policy.lua", "-- 1");
    return mkdir(at("rules"), 0755);
}

static int drop_root(void **state)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static mqlua_bundle *read_policy(void)
{
    char *error = NULL;
    mqlua_bundle *bundle = mqlua_bundle_open(at("policy.lua"), &error);
    if (!bundle)
        fail_msg("%s", error);
    return bundle;
}

/* A watcher that follows the policy as it is now; files of data were read, too. */
static mqlua_watcher *follow(double poll, const char *data)
{
    mqlua_watcher *watcher = mqlua_watcher_new(at("policy.lua"), 0.02, poll);
    mqlua_bundle *bundle = read_policy();
    char *error = NULL;
    if (data)
        mqlua_bundle_file(bundle, data, MQLUA_FILE_TEXT, &error);
    free(error);
    static const char *const required[] = {"new.lua", "rules/deep.lua", "later/on.lua"};
    for (int i = 0; i < 3; i++)
        mqlua_bundle_file(bundle, required[i], MQLUA_FILE_LUA, NULL);
    mqlua_watcher_follow(watcher, bundle);
    mqlua_bundle_unref(bundle);
    while (mqlua_watcher_wait(watcher, 0.3) == MQLUA_WATCHED_CHANGE) {
        /* files this young are looked at twice */
    }
    return watcher;
}

static void sees(mqlua_watcher *watcher)
{
    mqlua_watched what = mqlua_watcher_wait(watcher, 10);
    assert_int_equal(what, MQLUA_WATCHED_CHANGE);
}

static void sees_nothing(mqlua_watcher *watcher)
{
    assert_int_equal(mqlua_watcher_wait(watcher, 0.2), MQLUA_WATCHED_NOTHING);
}

/* Each change with inotify alone, and with polling alone (the folder is watched before it exists). */
static void test_changes(void **state)
{
    static const double polls[] = {0, 0.05};
    for (int i = 0; i < 2; i++) {
        mqlua_watcher *watcher = follow(polls[i], "senders.txt");
        sees_nothing(watcher);
        put("policy.lua", "-- 2");
        sees(watcher);
        sees_nothing(watcher);
        put("senders.txt", "appeared");
        sees(watcher);
        put("new.lua", "-- new");
        sees(watcher);
        put("rules/deep.lua", "-- new");
        sees(watcher);
        unlink(at("rules/deep.lua"));
        sees(watcher);
        unlink(at("new.lua"));
        sees(watcher);
        put(".beside", "-- 3");
        assert_int_equal(rename(at(".beside"), at("policy.lua")), 0);
        sees(watcher);
        mkdir(at("later"), 0755);
        put("later/on.lua", "-- its folder was not there before");
        sees(watcher);
        unlink(at("later/on.lua"));
        sees(watcher);
        rmdir(at("later"));
        put("notes.txt", "nobody reads this");
        put("other.lua", "nor requires this");
        put(".policy.lua.swp", "nor this");
        sees_nothing(watcher);
        unlink(at("other.lua"));
        unlink(at("senders.txt"));
        sees(watcher);
        unlink(at("notes.txt"));
        mqlua_watcher_free(watcher);
    }
}

static void test_changed_and_changed_back(void **state)
{
    put("other.lua", "x");
    mqlua_watcher *watcher = follow(0, NULL);
    assert_int_equal(rename(at("other.lua"), at("away.txt")), 0);
    assert_int_equal(rename(at("away.txt"), at("other.lua")), 0);
    mqlua_watched what = mqlua_watcher_wait(watcher, 0.3);
    assert_true(what == MQLUA_WATCHED_CHANGE ||
                what == MQLUA_WATCHED_NOTHING); /* the kernel counts renames as changes */
    mqlua_watcher_free(watcher);
    unlink(at("other.lua"));
}

static void test_open_for_writing(void **state)
{
    mqlua_watcher *watcher = follow(0.05, NULL);
    int fd = open(at("policy.lua"), O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, "\n--", 3), 3);
    assert_int_equal(mqlua_watcher_wait(watcher, 0.3), MQLUA_WATCHED_NOTHING);
    assert_non_null(strstr(mqlua_watcher_writing(watcher), "policy.lua"));
    char *error = NULL;
    assert_null(mqlua_bundle_open(at("policy.lua"), &error));
    assert_non_null(strstr(error, "policy.lua: is being written"));
    free(error);
    close(fd);
    sees(watcher);
    mqlua_watcher_free(watcher);
}

static void test_folder_that_goes_and_comes(void **state)
{
    mqlua_watcher *watcher = follow(0.05, NULL);
    char away[128];
    snprintf(away, sizeof away, "%s.away", root);
    assert_int_equal(rename(root, away), 0);
    sees(watcher);
    mqlua_watcher_follow(watcher, NULL);
    sees_nothing(watcher);
    assert_int_equal(rename(away, root), 0);
    sees(watcher);
    mqlua_watcher_free(watcher);
}

static void test_wake(void **state)
{
    mqlua_watcher *watcher = follow(0, NULL);
    mqlua_watcher_wake(watcher);
    assert_int_equal(mqlua_watcher_wait(watcher, 60), MQLUA_WATCHED_NOTHING);
    mqlua_watcher_free(watcher);
}

/* ---- refused policies ---- */

static const char *hash_of(int number)
{
    static char hash[33];
    snprintf(hash, sizeof hash, "%032x", number);
    return hash;
}

static void test_refused(void **state)
{
    char *error = NULL;
    mqlua_refused *refused = mqlua_refused_load(at("refused"));
    assert_false(mqlua_refused_has(refused, hash_of(1)));
    for (int i = 1; i <= MQLUA_REFUSED + 5; i++)
        assert_true(mqlua_refused_add(refused, hash_of(i), &error));
    mqlua_refused_free(refused);
    refused = mqlua_refused_load(at("refused"));
    assert_false(mqlua_refused_has(refused, hash_of(5)));
    assert_true(mqlua_refused_has(refused, hash_of(6)));
    assert_true(mqlua_refused_has(refused, hash_of(MQLUA_REFUSED + 5)));
    assert_true(mqlua_refused_add(refused, hash_of(6), &error)); /* it is there */
    mqlua_refused_free(refused);
    struct stat st;
    assert_int_equal(stat(at("refused"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_refused_damaged(void **state)
{
    FILE *file = fopen(at("refused"), "w");
    fprintf(file, "nonsense\n%032x\n\n%010x\nXYZ%032x\n%032x", 1, 2, 3, 4);
    fclose(file);
    mqlua_refused *refused = mqlua_refused_load(at("refused"));
    assert_true(mqlua_refused_has(refused, hash_of(1)));
    assert_false(mqlua_refused_has(refused, hash_of(2)));
    assert_false(mqlua_refused_has(refused, hash_of(3)));
    assert_true(mqlua_refused_has(refused, hash_of(4)));
    mqlua_refused_free(refused);
}

static void test_refused_unwritable(void **state)
{
    char *error = NULL;
    mqlua_refused *refused = mqlua_refused_load(at("missing/refused"));
    assert_false(mqlua_refused_add(refused, hash_of(1), &error));
    assert_non_null(strstr(error, "missing/refused: No such file"));
    free(error);
    assert_true(mqlua_refused_has(refused, hash_of(1))); /* as long as the process lives */
    mqlua_refused_free(refused);
    assert_false(mqlua_refused_has(NULL, hash_of(1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_changes, make_root, drop_root),
        cmocka_unit_test_setup_teardown(test_changed_and_changed_back, make_root, drop_root),
        cmocka_unit_test_setup_teardown(test_open_for_writing, make_root, drop_root),
        cmocka_unit_test_setup_teardown(test_folder_that_goes_and_comes, make_root, drop_root),
        cmocka_unit_test_setup_teardown(test_wake, make_root, drop_root),
        cmocka_unit_test_setup_teardown(test_refused, make_root, drop_root),
        cmocka_unit_test_setup_teardown(test_refused_damaged, make_root, drop_root),
        cmocka_unit_test_setup_teardown(test_refused_unwritable, make_root, drop_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
