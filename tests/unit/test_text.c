/* SPDX-License-Identifier: MIT */

#include "json_fixture.h"

#include <dirent.h>

static mqlua_vm *vm;

static int start(void **state)
{
    vm = fixture_vm();
    return 0;
}

static int stop(void **state)
{
    mqlua_vm_free(vm);
    return 0;
}

static int run_chunk(lua_State *L)
{
    if (luaL_loadstring(L, lua_touserdata(L, 1)))
        lua_error(L);
    lua_call(L, 0, 0);
    return 0;
}

static void run(const char *code)
{
    char *error = NULL;
    if (mqlua_vm_call(vm, run_chunk, (void *)code, &error))
        fail_msg("%s\nin: %s", error, code);
}

static void test_decode(void **state)
{
    run("local d = mq.json.decode\n"
        "local t = d('{\"a\":[1,2.5,null,true,\"x\\\\u00e9\\\\u0000y\"],\"b\":{},\"c\":[]}')\n"
        "assert(#t.a == 5 and t.a[2] == 2.5 and t.a[3] == mq.null and t.a[4] == true and t.a[5] == "
        "'x\\195\\169\\0y')\n"
        "assert(getmetatable(t.a) == 'array' and getmetatable(t.b) == 'object' and getmetatable(t) == nil)\n"
        "assert(d('5') == 5 and d('\"s\"') == 's' and d('null') == mq.null and d('false') == false)\n"
        "assert(d('9007199254740993') == 9007199254740993LL and d('-9223372036854775808') == "
        "-9223372036854775807LL - 1)\n"
        "assert(d('{\"k\":1,\"k\":2}').k == 2)\n"
        "for k, v in pairs(d('[10]')) do assert(k == 1 and v == 10) end\n"
        "table.insert(t.c, 'new'); assert(#t.c == 1)\n");
}

static void test_decode_errors(void **state)
{
    run("local function bad(text, what)\n"
        "  local value, message = mq.json.decode(text)\n"
        "  assert(value == nil and message:find(what, 1, true), tostring(message))\n"
        "end\n"
        "bad('{\\n  \"a\": 1,\\n  x\\n}', 'line 3, column 3: ')\n"
        "bad('', 'line 1, column 0: ')\n"
        "bad('[1,]', 'line 1, column 4: ')\n"
        "bad('[1] 2', 'line 1')\n"
        "bad('99999999999999999999', 'too big')\n"
        "bad('[1,\\n2\\0]', 'line 2, column 2: a NUL byte'); bad('1e999', 'overflow')\n"
        "bad('{\"a\\\\u0000b\":1}', 'NUL byte in object key')\n"
        "bad('\"\\255\"', 'unable to decode byte 0xff')\n"
        "bad(('['):rep(100000), 'nested deeper than 512')\n"
        "bad('[' .. ('0,'):rep(2000001) .. '0]', '2000000 values')\n"
        "assert(mq.json.decode('\"' .. ('['):rep(1000) .. ('\\\\\"['):rep(1000) .. '\"'))\n"
        "assert(mq.json.decode(('['):rep(512) .. (']'):rep(512)))\n"
        "assert(not pcall(mq.json.decode)); assert(not "
        "pcall(mq.json.decode, {}))\n");
}

static void test_encode(void **state)
{
    run("local function is(value, text, options)\n"
        "  local got = mq.json.encode(value, options)\n"
        "  assert(got == text, got)\n"
        "end\n"
        "is(5, '5'); is('x', '\"x\"'); is(true, 'true'); is(mq.null, 'null'); is(nil, 'null'); is({}, '{}')\n"
        "is(mq.array{}, '[]'); is(mq.object{}, '{}'); is({1, {2}, mq.array()}, '[1,[2],[]]')\n"
        "is(0.1, '0.1'); is(1/3, '0.3333333333333333'); is(1e15, '1000000000000000'); is(-0.0, '-0.0'); "
        "is(1e300, '1e+300')\n"
        "is(9007199254740993LL, '9007199254740993'); is(18446744073709551615ULL, '18446744073709551615')\n"
        "is('\"\\\\\\n\\t\\1/\\0', [[\"\\\"\\\\\\n\\t\\u0001/\\u0000\"]])\n"
        "is('\\195\\169\\240\\159\\152\\128', '\"\\195\\169\\240\\159\\152\\128\"')\n"
        "is({b = 1, a = {2, {c = mq.null}}, [''] = 0}, '{\"\":0,\"a\":[2,{\"c\":null}],\"b\":1}', {sort_keys "
        "= true})\n"
        "is({a = {1, {}}}, '{\\n  \"a\": [\\n    1,\\n    {}\\n  ]\\n}', {pretty = true})\n"
        "is({1, nil, 3}, '[1,null,3]')\n"
        "is({['a\\0b'] = 1}, '{\"a\\\\u0000b\":1}')\n");
}

static void test_encode_errors(void **state)
{
    run("local function bad(what, ...)\n"
        "  local ok, message = pcall(mq.json.encode, ...)\n"
        "  assert(not ok and message:find(what, 1, true), tostring(message))\n"
        "end\n"
        "bad('value.a[2]: a function', {a = {1, type}})\n"
        "bad('value: NaN', 0/0)\n"
        "bad('value.s: this string is not UTF-8 (byte 2)', {s = 'x\\255'}, {invalid = 'error'})\n"
        "for _, s in ipairs{'\\192\\128', '\\237\\160\\128', '\\244\\144\\128\\128', '\\226\\130', '\\128', "
        "'\\248\\136\\128\\128\\128'} do\n"
        "  bad('not UTF-8', s, {invalid = 'error'})\n"
        "  assert(mq.json.encode(s):find('\\239\\191\\189', 1, true))\n"
        "end\n"
        "local t = {}; t[1] = t; bad('value[1]: this table contains itself', t)\n"
        "local t = {}; for i = 1, 512 do t = {t} end; bad('nested deeper', t)\n"
        "bad(\"no option 'x'\", 1, {x = 1})\n"
        "bad('value: mixed keys', {1, a = 1})\n"
        "bad('value expected')\n");
}

static void test_marks(void **state)
{
    run("local t = {1}\n"
        "assert(mq.array(t) == t and getmetatable(t) == 'array' and mq.object(t) == t and getmetatable(t) == "
        "'object')\n"
        "assert(not pcall(mq.array, 5)); assert(not pcall(mq.array, setmetatable({}, {})))\n"
        "assert(not pcall(setmetatable, mq.array(), nil))\n"
        "local a = mq.array{}; a[1] = 'x'; table.insert(a, 'y'); assert(#a == 2 and a[2] == 'y')\n"
        "local n = 0; for i, v in ipairs(a) do n = n + i end; assert(n == 3)\n"
        "assert(type(mq.null) == 'userdata')\n");
}

static void test_round_trip(void **state)
{
    run("local texts = {'[]', '{}', '[[],{}]', '[1,-2,0.5,\"x\",null,true,false]', '{\"a\":{\"b\":[{}]}}', "
        "'\"\"', '-0.0',\n"
        "  '123456789012345678', '1e-300', '[0.1,0.2,0.30000000000000004,5e-324,1.7976931348623157e308]'}\n"
        "for _, text in ipairs(texts) do\n"
        "  local value = mq.json.decode(text)\n"
        "  local again = mq.json.encode(value)\n"
        "  assert(mq.json.encode(mq.json.decode(again)) == again)\n"
        "end\n");
}

/* What LuaJIT needs for 64-bit integers must not be collected as garbage, although no script can reach it.
 * Freed memory is overwritten here, so that using it shows. */
static lua_Alloc plain_allocator;

static void *overwriting(void *ud, void *pointer, size_t old, size_t new)
{
    if (pointer && !new)
        memset(pointer, 0xdd, old);
    return plain_allocator(ud, pointer, old, new);
}

static const char collections[] = "for i = 1, 20 do\n"
                                  "  collectgarbage()\n"
                                  "  local t = mq.json.decode('[9007199254740993,-9223372036854775808]')\n"
                                  "  assert(t[1] == 9007199254740993LL and mq.json.encode(t) == "
                                  "'[9007199254740993,-9223372036854775808]')\n"
                                  "end\n";

static void test_integers_survive_collections(void **state)
{
    mqlua_vm *own = fixture_vm();
    void *ud;
    char *error = NULL;
    plain_allocator = lua_getallocf(mqlua_vm_state(own), &ud);
    lua_setallocf(mqlua_vm_state(own), overwriting, ud);
    if (mqlua_vm_call(own, run_chunk, (void *)collections, &error))
        fail_msg("%s", error);
    mqlua_vm_free(own);
}

/* The run-time budget stops long work in C too, however often the script catches the error. */
static void test_budget(void **state)
{
    mqlua_vm_limits limits = {.memory = (size_t)1 << 30, .budget = 0.02};
    mqlua_vm *limited = mqlua_vm_new(&limits);
    assert_int_equal(mqlua_vm_setup(limited, fixture_open_json, NULL, NULL), 0);
    char *error = NULL;
    assert_int_not_equal(mqlua_vm_call(limited, run_chunk,
                                       (void *)"local t = {}; for i = 1, 1000 do t[i] = 'x' end while true "
                                               "do pcall(mq.json.encode, t) end",
                                       &error),
                         0);
    free(error);
    assert_int_not_equal(
        mqlua_vm_call(
            limited, run_chunk,
            (void *)"local s = '[' .. ('0,'):rep(10000) .. '0]' while true do mq.json.decode(s) end", NULL),
        0);
    mqlua_vm_free(limited);
}

/* ---- failing memory of Lua ---- */

static long calls, fail_at;
static lua_Alloc lua_original;

static void *lua_failing(void *ud, void *pointer, size_t old, size_t new)
{
    if (new > old && fail_at && ++calls == fail_at)
        return NULL;
    return lua_original(ud, pointer, old, new);
}

static int decode_and_encode(lua_State *L)
{
    lua_pushcfunction(L, mqlua_encode_l_encode);
    lua_pushcfunction(L, mqlua_text_l_decode);
    lua_pushliteral(L, "{\"a\":[1,2,{\"b\":\"a string that is somewhat longer\"}],\"n\":12345678901234567}");
    calls = 0;
    fail_at = (long)(intptr_t)lua_touserdata(L, 1);
    lua_call(L, 1, 1);
    lua_call(L, 1, 1);
    fail_at = 0;
    return 0;
}

static void test_memory_fails(void **state)
{
    long n = 0;
    int status = 1;
    while (status) {
        mqlua_vm *small = fixture_vm();
        void *ud;
        lua_original = lua_getallocf(mqlua_vm_state(small), &ud);
        lua_setallocf(mqlua_vm_state(small), lua_failing, ud);
        status = mqlua_vm_call(small, decode_and_encode, (void *)(intptr_t)++n, NULL);
        fail_at = 0;
        mqlua_vm_free(small);
    }
    assert_true(n > 10);
}

/* ---- the corpora ---- */

typedef struct text_file {
    char *data;
    size_t size;
    bool accepted, encoded;
} text_file;

static int decode_file(lua_State *L)
{
    text_file *file = lua_touserdata(L, 1);
    lua_pushcfunction(L, mqlua_text_l_decode);
    lua_pushlstring(L, file->data, file->size);
    lua_call(L, 1, 2);
    file->accepted = !lua_isnil(L, -2);
    int line, column;
    if (!file->accepted &&
        (lua_type(L, -1) != LUA_TSTRING ||
         sscanf(lua_tostring(L, -1), "line %d, column %d: ", &line, &column) != 2 || line < 1))
        return luaL_error(L, "refused without a place: %s", lua_tostring(L, -1));
    if (!file->accepted)
        return 0;
    lua_pop(L, 1);
    lua_pushcfunction(L, mqlua_encode_l_encode);
    lua_insert(L, -2);
    lua_call(L, 1, 1);
    lua_pushcfunction(L, mqlua_text_l_decode);
    lua_insert(L, -2);
    lua_call(L, 1, 1);
    file->encoded = !lua_isnil(L, -1);
    return 0;
}

static bool read_file(const char *folder, const char *name, text_file *file)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *stream = fopen(path, "rb");
    if (!stream)
        return false;
    fseek(stream, 0, SEEK_END);
    long size = ftell(stream);
    rewind(stream);
    *file = (text_file){.data = malloc((size_t)size + 1)};
    file->size = fread(file->data, 1, (size_t)size, stream);
    fclose(stream);
    return true;
}

/* y_ must be accepted, n_ refused, i_ may be either; whatever is accepted can be encoded and decoded again.
 */
static int check_file(const char *folder, const char *name)
{
    /* jansson knows no keys with a NUL. */
    bool excepted = strcmp(name, "y_object_escaped_null_in_key.json") == 0;
    text_file file;
    char *error = NULL;
    if (!read_file(folder, name, &file))
        fail_msg("%s/%s cannot be read", folder, name);
    if (mqlua_vm_call(vm, decode_file, &file, &error))
        fail_msg("%s: %s", name, error);
    free(file.data);
    if (*name == 'y' && !file.accepted && !excepted)
        fail_msg("%s must be accepted", name);
    if (*name == 'n' && file.accepted)
        fail_msg("%s must be refused", name);
    if (file.accepted && !file.encoded)
        fail_msg("%s cannot be written and read again", name);
    return 1;
}

static int check_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    int count = 0;
    if (!dir)
        return 0;
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        if (entry->d_name[0] && entry->d_name[1] == '_' && strstr(entry->d_name, ".json"))
            count += check_file(folder, entry->d_name);
    closedir(dir);
    return count;
}

static void test_own_corpus(void **state)
{
    assert_true(check_folder("tests/data/json") >= 10);
}

static void test_conformance_corpus(void **state)
{
    const char *folder = getenv("MQLUA_JSON_CORPUS");
    int count = check_folder(folder ? folder : "../shared/corpora/json");
    if (count) {
        print_message("%d files\n", count);
    } else {
        print_message("no corpus in %s: skipped\n", folder ? folder : "../shared/corpora/json");
        skip();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_decode_errors),
        cmocka_unit_test(test_encode),
        cmocka_unit_test(test_encode_errors),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_integers_survive_collections),
        cmocka_unit_test(test_memory_fails),
        cmocka_unit_test(test_own_corpus),
        cmocka_unit_test(test_conformance_corpus),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
