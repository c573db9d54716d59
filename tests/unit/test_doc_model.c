/* SPDX-License-Identifier: MIT */

/* Random programs over a document and over a model of it (doc_model.lua), with either library. MQLUA_PROGRAMS
 * says how many programs of each (3,000), MQLUA_SEED which is the first. A million by hand:
 *
 *     MQLUA_PROGRAMS=1000000 build/release/test_doc_model
 */

#include "doc_fixture.h"

static const char *const texts[] = {
    "{}",
    "{\"tags\":[\"x\"],\"data\":{\"a\":1}}",
    "{\"tags\":[\"one\",\"two\"],\"data\":{\"a\":{\"b\":[1,2,{\"c\":null}]},\"b\":9007199254740993},"
    "\"list\":[1,2.5,\"x\",[],{}],\"priority\":3,\"pool\":\"p\",\"none\":[],\"\":\"nameless\"}",
    "{\"tags\":null,\"none\":{},\"list\":[[\"a\"],[\"b\",[\"c\"]]],\"data\":{\"a\":[\"b\",\"a\"]}}",
};

static fixture *of(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

static int l_json(lua_State *L)
{
    mqlua_doc_push(L, &of(L)->doc);
    return 1;
}

/* As a message does it: what is simple without Lua. */
static int l_commit(lua_State *L)
{
    fixture *f = of(L);
    int status = 0;
    if (mqlua_doc_is_simple(&f->doc)) {
        assert_true(mqlua_doc_settle(&f->doc));
        assert_false(mqlua_doc_is_touched(&f->doc));
    } else {
        status = lua_cpcall(L, fixture_prepare_doc, f);
    }
    if (status)
        mqlua_doc_discard(L, &f->doc);
    lua_pushboolean(L, status == 0);
    if (status)
        lua_insert(L, -2);
    return status ? 2 : 1;
}

static int l_discard(lua_State *L)
{
    mqlua_doc_discard(L, &of(L)->doc);
    return 0;
}

static int l_text(lua_State *L)
{
    lua_pushstring(L, fixture_text(of(L)));
    return 1;
}

static int load_model(lua_State *L)
{
    static const lua_CFunction functions[] = {l_json, l_commit, l_discard, l_add, l_text};
    if (luaL_loadfile(L, "tests/unit/doc_model.lua"))
        lua_error(L);
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        lua_pushvalue(L, 1);
        lua_pushcclosure(L, functions[i], 1);
    }
    lua_getglobal(L, "mq");
    lua_call(L, 6, 1);
    lua_setglobal(L, "program");
    return 0;
}

static void next_text(fixture *f, const char *text)
{
    f->slot.serial++;
    mqlua_doc_end(mqlua_vm_state(f->vm), &f->doc);
    f->tree->put(f->tree, f->root);
    f->root = fixture_parse(f->tree, text);
    mqlua_doc_begin(&f->doc, f->tree, f->root, &f->slot, f->hooks, f->ud);
}

static long number(const char *name, long fallback)
{
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : fallback;
}

static void test_programs(void **state)
{
    fixture f;
    long first = number("MQLUA_SEED", 1), count = number("MQLUA_PROGRAMS", 3000);
    fixture_start(&f, library, texts[0], NULL, NULL);
    assert_int_equal(mqlua_vm_setup(f.vm, load_model, &f, NULL), 0);
    for (long seed = first; seed < first + count; seed++) {
        char code[60];
        next_text(&f, texts[(size_t)seed % (sizeof texts / sizeof *texts)]);
        snprintf(code, sizeof code, "program(%ld)", seed);
        fixture_run(&f, code);
    }
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_programs)};
    return RUN_WITH_BOTH(tests);
}
