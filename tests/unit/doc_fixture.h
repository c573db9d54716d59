/* SPDX-License-Identifier: MIT */
#pragma once

/* A message's document with either library, for the tests of src/json. */

#include "json_fixture.h"

static enum mqlua_tree_library library;

static inline int use_fastjson(void **state)
{
    library = MQLUA_TREE_FASTJSON;
    return 0;
}

static inline int use_jsonc(void **state)
{
    library = MQLUA_TREE_JSONC;
    return 0;
}

static const char message[] =
    "{\"envelope\":\"a@example.com\",\"recipient\":\"b@example.com\",\"tags\":[\"one\",\"two\"],"
    "\"data\":{\"customer\":{\"id\":12345678901234567,\"vip\":true,\"rate\":1.50},\"list\":[1,2.25,null,"
    "\"x\",[]]},"
    "\"queues\":{\"results\":null},\"priority\":3,\"empty\":{},\"none\":[],\"pool\":\"p\",\"\":\"nameless\","
    "\"message-id\":\"m1\",\"real\":0.10}";

/* Starts with text (message if NULL), runs code, commits, and compares with what is expected (NULL:
 * unchanged). */
static inline void check(const char *text, const char *code, const char *expected)
{
    fixture f;
    fixture_start(&f, library, text ? text : message, NULL, NULL);
    char *before = strdup(fixture_text(&f));
    fixture_run(&f, code);
    assert_string_equal(fixture_text(&f), before); /* nothing before the commit */
    fixture_commit(&f);
    assert_string_equal(fixture_text(&f), expected ? expected : before);
    free(before);
    fixture_stop(&f);
}

/* add(key, ...) of a script, once open_add was called in setup. */
static inline int l_add(lua_State *L)
{
    fixture *f = lua_touserdata(L, lua_upvalueindex(1));
    mqlua_doc_add_strings(L, &f->doc, lua_tostring(L, 1), 2, lua_gettop(L));
    return 0;
}

static inline int open_add(lua_State *L)
{
    lua_pushvalue(L, 1);
    lua_pushcclosure(L, l_add, 1);
    lua_setglobal(L, "add");
    return 0;
}

/* Runs the array tests with each library. */
#define RUN_WITH_BOTH(tests)                                                                                 \
    (cmocka_run_group_tests_name("libfastjson", tests, use_fastjson, NULL) +                                 \
     cmocka_run_group_tests_name("json-c", tests, use_jsonc, NULL))
