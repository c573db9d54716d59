/* SPDX-License-Identifier: MIT */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/inbox.h"
#include "host/outbox.h"

static char path[] = "inbox-test-XXXXXX";

static int make_file(void **state)
{
    strcpy(path, "inbox-test-XXXXXX");
    int fd = mkstemp(path);
    close(fd);
    return fd < 0;
}

static int remove_file(void **state)
{
    return unlink(path);
}

static host_json *object(int number, size_t filler)
{
    host_json *json = HOST_JSON(new_object)();
    char *text = malloc(filler + 1);
    memset(text, 'x', filler);
    host_json_set_int(json, "n", number);
    host_json_set(json, "filler", host_json_string(text, filler));
    free(text);
    return json;
}

/* What a reader of the file saw. */
struct seen {
    unsigned long lines, errors, end, last;
    size_t filler;
    char error[200];
};

static void on_line(void *data, unsigned long number, host_json *json, const char *error)
{
    struct seen *seen = data;
    size_t size;
    seen->last = number;
    if (!json) {
        seen->errors++;
        snprintf(seen->error, sizeof seen->error, "%s", error);
        return;
    }
    if (host_json_text(json, "filler", &size))
        seen->filler += size;
    HOST_JSON(put)(json);
    __atomic_add_fetch(&seen->lines, 1, __ATOMIC_RELEASE);
}

static void on_end(void *data, int error)
{
    __atomic_store_n(&((struct seen *)data)->end, 1 + (unsigned)error, __ATOMIC_RELEASE);
}

static const struct host_outbox_calls calls = {.line = on_line, .end = on_end};

/* Reads the whole file as an outbox. */
static struct seen read_all(void)
{
    struct seen seen = {0};
    struct host_outbox *outbox = host_outbox_open(path);
    assert_non_null(outbox);
    assert_int_equal(host_outbox_start(outbox, &calls, &seen), 0);
    while (!__atomic_load_n(&seen.end, __ATOMIC_ACQUIRE))
        usleep(1000);
    host_outbox_close(outbox);
    assert_int_equal(seen.end, 1);
    return seen;
}

static void put_file(const char *text, size_t size)
{
    int fd = open(path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, text, size), size);
    close(fd);
}

static void *write_many(void *data)
{
    host_json *json = object(1, 9000);
    for (int i = 0; i < 200; i++)
        if (host_inbox_write(data, json) != 0)
            break;
    HOST_JSON(put)(json);
    return NULL;
}

static void threads(void **state)
{
    pthread_t ids[4];
    struct host_inbox *inbox = host_inbox_open(path);
    assert_non_null(inbox);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&ids[i], NULL, write_many, inbox), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(ids[i], NULL);
    assert_int_equal(host_inbox_count(inbox), 800);
    assert_int_equal(host_inbox_close(inbox), 0);
    struct seen seen = read_all();
    assert_int_equal(seen.lines, 800);
    assert_int_equal(seen.errors, 0);
    assert_int_equal(seen.filler, 800 * 9000);
}

/* A full disk, played by the limit of the file size: the line that fails leaves nothing behind. */
static void full_disk(void **state)
{
    struct rlimit before, limit;
    struct host_inbox *inbox = host_inbox_open(path);
    host_json *small = object(1, 10), *big = object(2, 100000);
    assert_int_equal(host_inbox_write(inbox, small), 0);
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 50000;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    int error = host_inbox_write(inbox, big);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(error, EFBIG);
    assert_int_equal(host_inbox_write(inbox, small), 0);
    assert_int_equal(host_inbox_count(inbox), 2);
    assert_int_equal(host_inbox_close(inbox), 0);
    struct seen seen = read_all();
    assert_int_equal(seen.lines, 2);
    assert_int_equal(seen.errors, 0);
    HOST_JSON(put)(small);
    HOST_JSON(put)(big);
}

static void closed_pipe(void **state)
{
    int ends[2];
    char name[64];
    assert_int_equal(pipe(ends), 0);
    snprintf(name, sizeof name, "/proc/self/fd/%d", ends[1]);
    struct host_inbox *inbox = host_inbox_open(name);
    assert_non_null(inbox);
    signal(SIGPIPE, SIG_IGN);
    close(ends[0]);
    close(ends[1]);
    host_json *json = object(1, 1);
    assert_int_equal(host_inbox_write(inbox, json), EPIPE);
    assert_int_equal(host_inbox_count(inbox), 0);
    HOST_JSON(put)(json);
    host_inbox_close(inbox);
}

static void cannot_open(void **state)
{
    assert_null(host_inbox_open("/nonexistent/folder/file"));
    assert_int_equal(errno, ENOENT);
    assert_null(host_outbox_open("/nonexistent/folder/file"));
    assert_int_equal(errno, ENOENT);
}

static void malformed_lines(void **state)
{
    static const char text[] = "{\"a\":1}\n\n   \r\n{oops\n[1]\nnull\n{\"a\":2}\r\n{\"b\":3} x\n{\"a\":4}";
    put_file(text, sizeof text - 1);
    struct seen seen = read_all();
    assert_int_equal(seen.lines, 3);
    assert_int_equal(seen.errors, 4);
    assert_int_equal(seen.last, 9);
    put_file("", 0);
    seen = read_all();
    assert_int_equal(seen.lines + seen.errors, 0);
}

static void fifo(void **state)
{
    struct seen seen = {0};
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    struct host_outbox *outbox = host_outbox_open(path);
    assert_non_null(outbox);
    assert_int_equal(host_outbox_start(outbox, &calls, &seen), 0);
    for (int i = 0; i < 2; i++) { /* the second writer comes when the first one has gone */
        int fd = open(path, O_WRONLY);
        assert_int_equal(write(fd, "{\"a\":", 5), 5);
        assert_int_equal(write(fd, "1}\n", 3), 3);
        close(fd);
        while (__atomic_load_n(&seen.lines, __ATOMIC_ACQUIRE) != (unsigned)i + 1)
            usleep(1000);
    }
    assert_int_equal(host_outbox_close(outbox), 2);
    assert_int_equal(seen.end, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(threads, make_file, remove_file),
        cmocka_unit_test_setup_teardown(full_disk, make_file, remove_file),
        cmocka_unit_test(closed_pipe),
        cmocka_unit_test(cannot_open),
        cmocka_unit_test_setup_teardown(malformed_lines, make_file, remove_file),
        cmocka_unit_test_setup_teardown(fifo, make_file, remove_file),
    };
    const char *folder = getenv("TMPDIR");
    if (chdir(folder ? folder : P_tmpdir) != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
