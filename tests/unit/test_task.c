/* SPDX-License-Identifier: MIT */

/* Tasks without a loop: how they end, in which order, and what that costs for many of them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/time.h"
#include "vm/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct fixture {
    mqlua_vm *vm;
    mqlua_lanes lanes;
    mqlua_task *group; /* parent of what spawn makes; NULL: none */
    int ends, cancelled;
    char log[200]; /* what scripts said, a letter each */
    char defer_error[200];
    mqlua_task **tasks; /* made by spawn */
    size_t count;
} fixture;

static fixture *of(lua_State *L)
{
    return mqlua_vm_owner(mqlua_vm_of(L));
}

static void ended(mqlua_task *task, const mqlua_end *end, void *ud)
{
    fixture *f = ud;
    f->ends++;
    f->cancelled += end->outcome == MQLUA_CANCELLED;
}

static void let_go(mqlua_wait *wait)
{
    free(wait);
}

static int l_park(lua_State *L)
{
    mqlua_task_check(L, "park");
    mqlua_wait *wait = calloc(1, sizeof *wait);
    assert_non_null(wait);
    wait->cancel = wait->done = let_go;
    return mqlua_task_park(L, wait);
}

static int l_spawn(lua_State *L)
{
    fixture *f = of(L);
    mqlua_task *parent = f->group ? f->group : mqlua_task_current(f->vm);
    mqlua_task *task = mqlua_task_spawn(L, 1, NULL, parent, ended, f);
    if (f->tasks)
        f->tasks[f->count++] = task;
    return 0;
}

static int l_defer(lua_State *L)
{
    mqlua_task_defer(L, 1);
    return 0;
}

static int l_say(lua_State *L)
{
    strncat(of(L)->log, luaL_checkstring(L, 1), 1);
    return 0;
}

static void defer_failed(mqlua_vm *vm, const char *error)
{
    fixture *f = mqlua_vm_owner(vm);
    snprintf(f->defer_error, sizeof f->defer_error, "%s", error);
}

static int open_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"park", l_park}, {"spawn", l_spawn}, {"defer", l_defer}, {"say", l_say}, {NULL, NULL}};
    for (const luaL_Reg *f = functions; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setglobal(L, f->name);
    }
    return 0;
}

static void set_up(fixture *f)
{
    static const mqlua_vm_limits limits = {.budget = 10};
    *f = (fixture){.vm = mqlua_vm_new(&limits)};
    assert_non_null(f->vm);
    mqlua_vm_set_owner(f->vm, f);
    mqlua_task_set_defer_failed(f->vm, defer_failed);
    assert_int_equal(mqlua_vm_setup(f->vm, open_functions, NULL, NULL), 0);
    mqlua_lanes_init(&f->lanes, NULL, NULL, NULL);
    mqlua_task_attach(f->vm, &f->lanes);
}

/* All that is ready, however long it takes; the longest piece, in seconds. */
static double run_all(fixture *f)
{
    double longest = 0;
    for (double now = mqlua_time_now();;) {
        double begun = now;
        if (mqlua_lanes_run(&f->lanes, &now))
            longest = now - begun > longest ? now - begun : longest;
        else if (mqlua_lanes_next(&f->lanes) == 0)
            return longest;
        else
            now = mqlua_lanes_next(&f->lanes); /* as if the time had passed */
    }
}

static int load_text(lua_State *L)
{
    const char **text = lua_touserdata(L, 1);
    if (luaL_loadstring(L, text[0]))
        return lua_error(L);
    lua_setfield(L, LUA_REGISTRYINDEX, "handler");
    lua_getfield(L, LUA_REGISTRYINDEX, "handler");
    text[1] = (const char *)(intptr_t)luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

/* NULL: it has ended. */
static mqlua_task *start(fixture *f, const char *text)
{
    const char *given[2] = {text};
    char *error = NULL;
    if (mqlua_vm_setup(f->vm, load_text, given, &error))
        fail_msg("%s", error);
    return mqlua_task_start(f->vm, mqlua_task_lane(f->vm), (int)(intptr_t)given[1], 0, ended, f);
}

static void says(fixture *f, const char *expected)
{
    assert_string_equal(f->log, expected);
    f->log[0] = '\0';
}

/* ---- functions of mq.defer ---- */

#define THREE                                                                                                \
    "defer(function() say('a') end) defer(function() say('b') error('x') end) defer(function() say('c') "    \
    "end) "

/* What took longer than a piece, on a busy machine, is worked off by a lane. */
static void ends_saying(fixture *f, const char *expected)
{
    run_all(f);
    says(f, expected);
}

static void defers_run_in_reverse_order(void **state)
{
    fixture f;
    set_up(&f);
    assert_null(start(&f, THREE "say('0')"));
    ends_saying(&f, "0cba");
    assert_non_null(strstr(f.defer_error, "x"));
    assert_null(start(&f, THREE "error('y')"));
    ends_saying(&f, "cba");
    mqlua_task_cancel(start(&f, THREE "park()"));
    ends_saying(&f, "cba");
    mqlua_task_fail(start(&f, THREE "park()"), "late");
    ends_saying(&f, "cba");
    start(&f, THREE "park()");
    mqlua_vm_stop(f.vm);
    ends_saying(&f, "cba");
    assert_int_equal(f.ends, 5);
    mqlua_vm_free(f.vm);
}

static void defers_may_not_wait(void **state)
{
    fixture f;
    set_up(&f);
    start(&f, "defer(function() park() end)");
    assert_non_null(strstr(f.defer_error, "park cannot wait here"));
    start(&f, "defer(function() defer(print) end)");
    assert_non_null(strstr(f.defer_error, "mq.defer belongs to a task"));
    start(&f, "say(tostring(pcall(function() for i = 1, 101 do defer(print) end end)))");
    says(&f, "f");
    mqlua_vm_free(f.vm);
}

static void children_end_first(void **state)
{
    fixture f;
    set_up(&f);
    mqlua_task *task =
        start(&f, "defer(function() say('p') end) "
                  "spawn(function() defer(function() say('c') end) "
                  "spawn(function() defer(function() say('g') end) park() end) park() end) park()");
    run_all(&f);
    mqlua_task_cancel(task);
    assert_int_equal(f.ends, 1);
    run_all(&f);
    says(&f, "gcp");
    assert_int_equal(f.ends, 3);
    assert_int_equal(mqlua_task_count(f.vm), 0);
    mqlua_vm_free(f.vm);
}

static void children_of_what_has_ended_do_not_run(void **state)
{
    fixture f;
    set_up(&f);
    assert_null(start(&f, "spawn(function() say('x') end) say('0')"));
    run_all(&f);
    says(&f, "0");
    assert_int_equal(f.cancelled, 1);
    mqlua_task *task =
        start(&f, "spawn(function() spawn(function() say('x') end) park() say('y') end) park()");
    double now = mqlua_time_now();
    mqlua_lanes_run(&f.lanes, &now); /* the child has spawned its own, which has not begun */
    mqlua_task_cancel(task);
    run_all(&f);
    says(&f, "");
    assert_int_equal(mqlua_task_count(f.vm), 0);
    mqlua_vm_free(f.vm);
}

static void nesting_is_bounded(void **state)
{
    fixture f;
    set_up(&f);
    mqlua_task *task = start(
        &f, "local function deeper() if not pcall(spawn, deeper) then say('x') end park() end deeper()");
    run_all(&f);
    says(&f, "x");
    assert_int_equal(mqlua_task_count(f.vm), 201);
    mqlua_task_cancel(task);
    run_all(&f);
    assert_int_equal(mqlua_task_count(f.vm), 0);
    mqlua_vm_free(f.vm);
}

/* ---- many ---- */

enum order { FORWARD, BACKWARD, MIXED, GROUP, ALL, CLOSE, ORDERS };

/* Seconds per task to end count of them; a piece of that never takes long. started: they wait; else they are
 * queued. */
static double end_many(size_t count, enum order order, bool started)
{
    fixture f;
    char text[200];
    set_up(&f);
    f.tasks = calloc(count, sizeof *f.tasks);
    f.group = mqlua_task_group(f.vm);
    snprintf(text, sizeof text, "for i = 1, %zu do spawn(park) end", count);
    assert_null(start(&f, text));
    assert_int_equal(f.count, count);
    if (started)
        run_all(&f);
    double begun = mqlua_time_now();
    if (order <= MIXED)
        for (size_t i = 0; i < count; i++) /* 7919 divides none of the sizes */
            mqlua_task_cancel(f.tasks[order == FORWARD    ? i
                                      : order == BACKWARD ? count - 1 - i
                                                          : i * 7919 % count]);
    if (order == ALL)
        mqlua_task_cancel_all(f.vm);
    else
        mqlua_task_cancel(f.group);
    double said = mqlua_time_now() - begun, longest = 0;
    if (order == CLOSE)
        mqlua_vm_stop(f.vm);
    else
        longest = run_all(&f);
    double took = mqlua_time_now() - begun;
    if (order > MIXED && count >= 100000) {
        assert_true(said < took / 2);
        assert_true(longest < took / 2);
    }
    assert_int_equal(f.cancelled, count);
    assert_int_equal(mqlua_task_count(f.vm), 0);
    if (order == ALL)
        mqlua_task_cancel(f.group);
    mqlua_vm_free(f.vm);
    free(f.tasks);
    return took / (double)count;
}

static void ending_many_is_linear(void **state)
{
    for (int order = 0; order < ORDERS; order++) {
        for (int started = 0; started < 2; started++) {
            double few = end_many(1000, order, started), many = end_many(100000, order, started);
            if (many > 20 * few + 5e-6)
                fail_msg("order %d: %g s each of 100,000, %g of 1,000", order, many, few);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defers_run_in_reverse_order),
        cmocka_unit_test(defers_may_not_wait),
        cmocka_unit_test(children_end_first),
        cmocka_unit_test(children_of_what_has_ended_do_not_run),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(ending_many_is_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
