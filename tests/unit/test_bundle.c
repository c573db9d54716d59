/* SPDX-License-Identifier: MIT */

/* Snapshots of a policy: what is in them, that they are of one moment, and the file that keeps one. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "folder.h"
#include "policy/bundle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int make_root(void **state)
{
    umask(022);
    strcpy(root, P_tmpdir "/mqlua-bundle-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int drop_root(void **state)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static mqlua_bundle *open_bundle(const char *name)
{
    char *error = NULL;
    mqlua_bundle *bundle = mqlua_bundle_open(at(name), &error);
    if (!bundle)
        fail_msg("%s", error);
    assert_null(error);
    return bundle;
}

/* The names in the bundle, in order, separated by spaces. */
static const char *names(const mqlua_bundle *bundle)
{
    static char text[4096];
    text[0] = 0;
    for (const mqlua_file *file = mqlua_bundle_files(bundle); file; file = file->next) {
        strcat(text, file->name);
        strcat(text, file->next ? " " : "");
    }
    return text;
}

static void contents(void **state)
{
    put("policy.lua", "return 1");
    mkdir(at("lib"), 0755);
    mkdir(at("lib/deep"), 0755);
    mkdir(at(".git"), 0755);
    put("lib/a.lua", "a");
    put("lib/deep/b.lua", "");
    put(".git/c.lua", "c");
    put(".policy.lua.swp", "x");
    put("policy.lua~", "x");
    put("#policy.lua#", "x");
    put(".lua", "x");
    put("data.txt", "x");
    symlink("somebody@somewhere.1:2", at(".#policy.lua"));
    symlink("nowhere", at("dangling.lua"));
    symlink("../lib/a.lua", at("lib/link.lua"));
    symlink("..", at("lib/up"));
    mkdir(at("folder.lua"), 0755);
    assert_int_equal(mkfifo(at("pipe.lua"), 0600), 0);
    mqlua_bundle *bundle = open_bundle("policy.lua");
    static const char *const wanted[] = {"lib/a.lua", "lib/deep/b.lua", "lib/link.lua"};
    for (int i = 0; i < 3; i++)
        assert_non_null(mqlua_bundle_file(bundle, wanted[i], MQLUA_FILE_LUA, NULL));
    assert_null(mqlua_bundle_file(bundle, "dangling.lua", MQLUA_FILE_LUA, NULL));
    assert_null(mqlua_bundle_file(bundle, "pipe.lua", MQLUA_FILE_LUA, NULL));
    mqlua_bundle_seal(bundle);
    assert_string_equal(names(bundle), "lib/a.lua lib/deep/b.lua lib/link.lua policy.lua");
    assert_string_equal(mqlua_bundle_folder(bundle), root);
    assert_string_equal(mqlua_bundle_entry(bundle)->text, "return 1");
    assert_string_equal(mqlua_bundle_entry(bundle)->path, at("policy.lua"));
    assert_int_equal(strlen(mqlua_bundle_hash(bundle)), 32);
    char *error = NULL;
    mqlua_file *file = mqlua_bundle_file(bundle, "./lib//deep/./b.lua", MQLUA_FILE_LUA, &error);
    assert_non_null(file);
    assert_int_equal(file->size, 0);
    assert_ptr_equal(mqlua_bundle_file(bundle, at("lib/deep/b.lua"), MQLUA_FILE_LUA, &error), file);
    assert_true(mqlua_bundle_owned_by(bundle, getuid()));
    assert_false(mqlua_bundle_owned_by(bundle, getuid() + 1));
    mqlua_bundle_unref(bundle);
    chmod(at("lib/a.lua"), 0664);
    bundle = open_bundle("policy.lua");
    assert_true(mqlua_bundle_owned_by(bundle, getuid()));
    assert_non_null(mqlua_bundle_file(bundle, "lib/a.lua", MQLUA_FILE_LUA, NULL));
    assert_false(mqlua_bundle_owned_by(bundle, getuid()));
    mqlua_bundle_unref(bundle);
    chmod(at("lib/a.lua"), 0644);
    chmod(at("lib"), 0777);
    bundle = open_bundle("policy.lua");
    assert_non_null(mqlua_bundle_file(bundle, "lib/a.lua", MQLUA_FILE_LUA, NULL));
    assert_false(mqlua_bundle_owned_by(bundle, getuid()));
    mqlua_bundle_unref(bundle);
}

static void data_files(void **state)
{
    char *error = NULL;
    char outside[] = P_tmpdir "/mqlua-outside-XXXXXX";
    int fd = mkstemp(outside);
    assert_int_equal(write(fd, "out\0side", 8), 8);
    close(fd);
    put("policy", "entry need not end in .lua");
    put("domains", "example.org\n");
    mqlua_bundle *bundle = open_bundle("policy");
    assert_null(mqlua_bundle_file(bundle, "missing", MQLUA_FILE_SET, &error));
    assert_non_null(strstr(error, "/missing: No such file or directory"));
    free(error);
    assert_null(mqlua_bundle_file(bundle, "/", MQLUA_FILE_SET, &error));
    assert_string_equal(error, "/: not a regular file");
    free(error);
    mqlua_file *set = mqlua_bundle_file(bundle, "domains", MQLUA_FILE_SET, &error);
    mqlua_file *text = mqlua_bundle_file(bundle, at("domains"), MQLUA_FILE_TEXT, &error);
    mqlua_file *other = mqlua_bundle_file(bundle, outside, MQLUA_FILE_TEXT, &error);
    assert_non_null(set);
    assert_non_null(text);
    assert_ptr_not_equal(set, text);
    assert_int_equal(other->size, 8);
    assert_string_equal(other->name, outside);
    assert_ptr_equal(mqlua_bundle_file(bundle, "domains", MQLUA_FILE_SET, &error), set);
    assert_false(mqlua_bundle_sealed(bundle));
    mqlua_bundle_seal(bundle);
    assert_true(mqlua_bundle_sealed(bundle));
    put("late", "");
    assert_null(mqlua_bundle_file(bundle, "late", MQLUA_FILE_SET, &error));
    assert_non_null(strstr(error, "late: not part of the policy as it was read"));
    free(error);
    assert_null(mqlua_bundle_file(bundle, "domains", MQLUA_FILE_MAP, NULL));
    assert_false(mqlua_bundle_changed(bundle));
    put("domains", "example.com\n");
    assert_true(mqlua_bundle_changed(bundle));
    mqlua_bundle_unref(bundle);
    unlink(outside);
}

static void hash_of(char out[33], const char *entry, const char *data, mqlua_file_kind kind)
{
    mqlua_bundle *bundle = open_bundle(entry);
    if (data)
        assert_non_null(mqlua_bundle_file(bundle, data, kind, NULL));
    mqlua_bundle_seal(bundle);
    strcpy(out, mqlua_bundle_hash(bundle));
    mqlua_bundle_unref(bundle);
}

static void hashes(void **state)
{
    char all[9][33];
    put("policy.lua", "return 1");
    put("b.lua", "b");
    put("data", "x");
    hash_of(all[0], "policy.lua", "b.lua", MQLUA_FILE_LUA);
    hash_of(all[1], "b.lua", NULL, 0);
    hash_of(all[2], "policy.lua", "data", MQLUA_FILE_SET);
    hash_of(all[3], "policy.lua", "data", MQLUA_FILE_MAP);
    put("data", "y");
    hash_of(all[4], "policy.lua", "data", MQLUA_FILE_MAP);
    hash_of(all[8], "policy.lua", NULL, 0);
    rename(at("b.lua"), at("c.lua"));
    hash_of(all[5], "policy.lua", "c.lua", MQLUA_FILE_LUA);
    put("c.lua", "");
    hash_of(all[6], "policy.lua", "c.lua", MQLUA_FILE_LUA);
    put("c.lua", "b");
    rename(at("c.lua"), at("b.lua"));
    hash_of(all[7], "policy.lua", "b.lua", MQLUA_FILE_LUA);
    assert_string_equal(all[0], all[7]);
    hash_of(all[7], "policy.lua", NULL, 0);
    assert_string_equal(all[8], all[7]); /* what lies beside is no part of it */
    for (int i = 0; i < 7; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(all[i], all[j]);
}

static void limits(void **state)
{
    char *error = NULL;
    put("policy.lua", "");
    int fd = open(at("big.lua"), O_WRONLY | O_CREAT, 0600);
    assert_int_equal(ftruncate(fd, (64 << 20) + 1), 0);
    close(fd);
    assert_null(mqlua_bundle_open(at("big.lua"), &error));
    assert_non_null(strstr(error, "/big.lua: larger than 64 MB"));
    free(error);
    unlink(at("big.lua"));
    assert_null(mqlua_bundle_open(at("nothing.lua"), &error));
    assert_non_null(strstr(error, "/nothing.lua: No such file or directory"));
    free(error);
    assert_null(mqlua_bundle_open(at("no/policy.lua"), &error));
    assert_non_null(strstr(error, "/no: No such file or directory"));
    free(error);
    if (geteuid() != 0) { /* root may read everything */
        chmod(at("policy.lua"), 0);
        assert_null(mqlua_bundle_open(at("policy.lua"), &error));
        assert_non_null(strstr(error, "/policy.lua: Permission denied"));
        free(error);
    }
}

/* Renews a policy of two files as Kubernetes renews config maps: files are links through ..data, which is
 * swapped. */
static void *swap(void *stop)
{
    for (int n = 0; !atomic_load((atomic_bool *)stop); n++) {
        char target[16], number[16];
        snprintf(target, sizeof target, "..v%d", n % 7);
        snprintf(number, sizeof number, "%d", n);
        char folder[128], file[160], data[128], fresh[128];
        snprintf(folder, sizeof folder, "%s/%s", root, target);
        snprintf(data, sizeof data, "%s/..data", root);
        snprintf(fresh, sizeof fresh, "%s/..fresh", root);
        mkdir(folder, 0755);
        static const char *const both[] = {"policy.lua", "z.lua"};
        for (int i = 0; i < 2; i++) {
            snprintf(file, sizeof file, "%s/%s.new", folder, both[i]);
            FILE *out = fopen(file, "w");
            fputs(number, out);
            fclose(out);
            char final[160];
            snprintf(final, sizeof final, "%s/%s", folder, both[i]);
            rename(file, final);
        }
        symlink(target, fresh);
        rename(fresh, data);
        usleep(2000);
    }
    return NULL;
}

static void one_moment(void **state)
{
    atomic_bool stop = false;
    pthread_t thread;
    mkdir(at("..v0"), 0755);
    put("..v0/policy.lua", "0");
    put("..v0/z.lua", "0");
    symlink("..v0", at("..data"));
    symlink("..data/policy.lua", at("policy.lua"));
    symlink("..data/z.lua", at("z.lua"));
    assert_int_equal(pthread_create(&thread, NULL, swap, &stop), 0);
    int complete = 0;
    for (int i = 0; i < 200; i++) {
        char *error = NULL;
        mqlua_bundle *bundle = mqlua_bundle_open(at("policy.lua"), &error);
        free(error);
        if (!bundle)
            continue;
        mqlua_file *z = mqlua_bundle_file(bundle, "z.lua", MQLUA_FILE_LUA, NULL);
        if (z && !mqlua_bundle_changed(bundle)) {
            complete++;
            assert_string_equal(mqlua_bundle_entry(bundle)->text, z->text);
        }
        mqlua_bundle_unref(bundle);
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    assert_true(complete > 0);
}

static mqlua_bundle *sample(void)
{
    put("policy.lua", "return mq");
    put("other.lua", "");
    put("list", "a\nb\n");
    mqlua_bundle *bundle = open_bundle("policy.lua");
    assert_non_null(mqlua_bundle_file(bundle, "other.lua", MQLUA_FILE_LUA, NULL));
    assert_non_null(mqlua_bundle_file(bundle, "list", MQLUA_FILE_SET, NULL));
    assert_non_null(mqlua_bundle_file(bundle, "list", MQLUA_FILE_TEXT, NULL));
    mqlua_bundle_seal(bundle);
    return bundle;
}

static size_t load(const char *path, char *data, size_t room)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(data, 1, room, file);
    fclose(file);
    return size;
}

static void keep_and_restore(void **state)
{
    char *error = NULL;
    struct stat st;
    mqlua_bundle *bundle = sample();
    assert_true(mqlua_bundle_keep(bundle, at("kept"), &error));
    assert_int_equal(stat(at("kept"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    mqlua_bundle *back = mqlua_bundle_restore(at("kept"), &error);
    if (!back)
        fail_msg("%s", error);
    assert_true(mqlua_bundle_sealed(back));
    assert_string_equal(mqlua_bundle_hash(back), mqlua_bundle_hash(bundle));
    assert_string_equal(mqlua_bundle_folder(back), root);
    assert_string_equal(names(back), "list list other.lua policy.lua");
    assert_string_equal(mqlua_bundle_entry(back)->text, "return mq");
    assert_string_equal(mqlua_bundle_file(back, at("list"), MQLUA_FILE_SET, NULL)->text, "a\nb\n");
    assert_null(mqlua_bundle_entry(back)->parsed);
    assert_true(mqlua_bundle_owned_by(back, getuid()));
    assert_false(mqlua_bundle_owned_by(back, getuid() + 1));
    mqlua_bundle_unref(back);
    assert_false(mqlua_bundle_keep(bundle, at("no/kept"), &error));
    assert_non_null(strstr(error, "/no/kept: No such file or directory"));
    free(error);
    mqlua_bundle_unref(bundle);
    bundle = open_bundle("policy.lua");
    assert_false(mqlua_bundle_keep(bundle, at("kept"), &error));
    free(error);
    mqlua_bundle_unref(bundle);
    back = mqlua_bundle_restore(at("kept"), &error); /* a failure left the old one */
    assert_non_null(back);
    mqlua_bundle_unref(back);
}

/* Cut short anywhere, or with any byte changed, it is refused. */
static void damaged(void **state)
{
    static char data[8192];
    mqlua_bundle *bundle = sample();
    char *none = NULL;
    assert_true(mqlua_bundle_keep(bundle, at("kept"), &none));
    size_t size = load(at("kept"), data, sizeof data);
    assert_true(size > 100 && size < sizeof data);
    for (size_t cut = 0; cut < size; cut++) {
        char *copy = malloc(cut + 1), *error = NULL;
        memcpy(copy, data, cut);
        assert_null(mqlua_bundle_parse(copy, cut, "kept", &error));
        assert_non_null(error);
        free(error);
        free(copy);
    }
    for (size_t i = 0; i < size; i++) {
        char *error = NULL;
        data[i] ^= 0x10;
        assert_null(mqlua_bundle_parse(data, size, "kept", &error));
        assert_non_null(error);
        free(error);
        data[i] ^= 0x10;
    }
    mqlua_bundle_unref(bundle);
    char *error = NULL;
    assert_null(mqlua_bundle_restore(at("missing"), &error));
    assert_non_null(strstr(error, "/missing: No such file or directory"));
    free(error);
    assert_null(mqlua_bundle_restore(root, &error));
    assert_non_null(error);
    free(error);
}

/* A process that keeps one bundle after the other is killed again and again: there is always a whole one. */
static void killed_while_keeping(void **state)
{
    put("big.lua", "");
    int fd = open(at("big.lua"), O_WRONLY);
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    close(fd);
    mqlua_bundle *one = sample();
    put("policy.lua", "return 2");
    mqlua_bundle *two = open_bundle("policy.lua");
    mqlua_bundle_seal(two);
    char *error = NULL;
    assert_true(mqlua_bundle_keep(one, at("kept"), &error));
    for (int i = 0; i < 30; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        for (int n = 0; child == 0; n++)
            mqlua_bundle_keep(n % 2 ? one : two, at("kept"), &error);
        usleep(1000 + 700 * (useconds_t)i);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        mqlua_bundle *back = mqlua_bundle_restore(at("kept"), &error);
        if (!back)
            fail_msg("%s", error);
        assert_true(strcmp(mqlua_bundle_hash(back), mqlua_bundle_hash(one)) == 0 ||
                    strcmp(mqlua_bundle_hash(back), mqlua_bundle_hash(two)) == 0);
        mqlua_bundle_unref(back);
    }
    mqlua_bundle_unref(one);
    mqlua_bundle_unref(two);
}

static void disk_full(void **state)
{
    char *error = NULL;
    mqlua_bundle *bundle = sample();
    int fd = open("/dev/full", O_WRONLY);
    assert_true(fd >= 0);
    assert_false(mqlua_bundle_save(bundle, fd, &error));
    assert_string_equal(error, strerror(ENOSPC));
    free(error);
    close(fd);
    mqlua_bundle_unref(bundle);
}

static atomic_int parses, frees;

static void free_parsed(void *parsed)
{
    atomic_fetch_add(&frees, 1);
    free(parsed);
}

static void *parse(const mqlua_file *file, void (**release)(void *), char **error)
{
    *release = free_parsed;
    atomic_fetch_add(&parses, 1);
    return strdup(file->text);
}

static void *user(void *arg)
{
    mqlua_bundle *bundle = arg;
    for (int i = 0; i < 200; i++) {
        mqlua_bundle_ref(bundle);
        mqlua_file *file = mqlua_bundle_file(bundle, "list", MQLUA_FILE_SET, NULL);
        const char *text = mqlua_bundle_parsed(bundle, file, parse, NULL);
        if (strcmp(text, "a\nb\n") != 0)
            return bundle;
        mqlua_bundle_unref(bundle);
    }
    mqlua_bundle_unref(bundle);
    return NULL;
}

static void shared_by_threads(void **state)
{
    pthread_t threads[4];
    mqlua_bundle *bundle = sample();
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, user, mqlua_bundle_ref(bundle)), 0);
    mqlua_bundle_unref(bundle);
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(parses, 1);
    assert_int_equal(frees, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_root, drop_root)
    const struct CMUnitTest tests[] = {
        TEST(contents),   TEST(data_files),        TEST(hashes),  TEST(limits),
        TEST(one_moment), TEST(keep_and_restore),  TEST(damaged), TEST(killed_while_keeping),
        TEST(disk_full),  TEST(shared_by_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
