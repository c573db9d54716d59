/* SPDX-License-Identifier: MIT */
#pragma once

/* For tests of the library: a vm with a table mq that holds the parts under test, and scripts run in it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "api/env.h"

#include <stdlib.h>
#include <string.h>

typedef struct script {
    void (**parts)(lua_State *); /* mqlua_<part>_open, NULL-terminated */
    const char *text;
    char *result; /* what the script returned, as text */
} script;

static int l_open_parts(lua_State *L)
{
    script *s = lua_touserdata(L, 1);
    lua_newtable(L);
    for (int i = 0; s->parts[i]; i++) {
        s->parts[i](L);
        assert_int_equal(lua_gettop(L), 2);
    }
    lua_setglobal(L, "mq");
    return 0;
}

static int l_run_script(lua_State *L)
{
    script *s = lua_touserdata(L, 1);
    if (luaL_loadbuffer(L, s->text, strlen(s->text), "@policy.lua"))
        return lua_error(L);
    lua_call(L, 0, 1);
    lua_getglobal(L, "tostring");
    lua_insert(L, -2);
    lua_call(L, 1, 1);
    s->result = strdup(lua_tostring(L, -1));
    return 0;
}

/* A vm whose owner is env, with the parts open. */
static mqlua_vm *script_vm(mqlua_env *env, void (**parts)(lua_State *))
{
    static const mqlua_vm_limits limits = {.memory = 64 << 20};
    script s = {.parts = parts};
    char *error = NULL;
    mqlua_vm *vm = mqlua_vm_new(&limits);
    assert_non_null(vm);
    env->vm = vm;
    mqlua_vm_set_owner(vm, env);
    if (mqlua_vm_setup(vm, l_open_parts, &s, &error))
        fail_msg("%s", error);
    return vm;
}

/* The script must return something that reads as expected. */
__attribute__((unused)) static void script_gives(mqlua_vm *vm, const char *text, const char *expected)
{
    script s = {.text = text};
    char *error = NULL;
    if (mqlua_vm_call(vm, l_run_script, &s, &error))
        fail_msg("%s\n%s", text, error);
    assert_string_equal(s.result, expected);
    free(s.result);
}

/* The script must raise an error whose first line is expected. */
__attribute__((unused)) static void script_raises(mqlua_vm *vm, const char *text, const char *expected)
{
    script s = {.text = text};
    char *error = NULL;
    if (!mqlua_vm_call(vm, l_run_script, &s, &error))
        fail_msg("%s\nraised nothing", text);
    assert_non_null(error);
    error[strcspn(error, "\n")] = 0;
    assert_string_equal(error, expected);
    free(error);
}
