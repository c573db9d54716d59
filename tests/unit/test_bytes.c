/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "vm/bytes.h"

/* A chunk that gets a borrowed buffer of "Hello\0World", one with a copy, and a function that ends the first.
 */
typedef struct scene {
    const char *code;
    mqlua_slot slot;
    char *bytes;
} scene;

enum { SIZE = 11 };

static int l_finish(lua_State *L)
{
    scene *s = lua_touserdata(L, lua_upvalueindex(1));
    s->slot.serial++;
    free(s->bytes);
    s->bytes = NULL;
    return 0;
}

static int l_detach(lua_State *L)
{
    mqlua_bytes_detach(L, -1);
    return 0;
}

static int l_to(lua_State *L)
{
    const char *data;
    size_t size;
    if (!mqlua_bytes_to(L, 1, &data, &size))
        return 0;
    lua_pushlstring(L, data, size);
    return 1;
}

static int play(lua_State *L)
{
    scene *s = lua_touserdata(L, 1);
    lua_pushcfunction(L, l_detach);
    lua_setglobal(L, "detach");
    lua_pushcfunction(L, l_to);
    lua_setglobal(L, "to");
    if (luaL_loadstring(L, s->code))
        lua_error(L);
    mqlua_bytes_push(L, s->bytes, SIZE, &s->slot);
    mqlua_bytes_push_copy(L, s->bytes, SIZE);
    lua_pushlightuserdata(L, s);
    lua_pushcclosure(L, l_finish, 1);
    lua_call(L, 3, 0);
    return 0;
}

static void plays(const char *code)
{
    mqlua_vm_limits limits = {.memory = 32 << 20, .budget = 20};
    mqlua_vm *vm = mqlua_vm_new(&limits);
    scene s = {.code = code, .bytes = malloc(SIZE)};
    char *error = NULL;
    assert_non_null(vm);
    assert_non_null(s.bytes);
    memcpy(s.bytes, "Hello\0World", SIZE);
    int status = mqlua_vm_call(vm, play, &s, &error);
    mqlua_vm_free(vm);
    free(s.bytes);
    if (status)
        fail_msg("%s: %s", code, error ? error : "?");
}

#define HEAD                                                                                                 \
    "local borrowed, own, finish = ... local text = 'Hello\\0World' for _, b in ipairs{borrowed, own} do "

static void test_reading(void **state)
{
    plays(HEAD "assert(#b == 11 and b:len() == 11 and tostring(b) == text and b:tostring() == text)\n"
               "for i = -13, 13 do\n"
               "  assert(b:sub(i) == text:sub(i))\n"
               "  for j = -13, 13 do\n"
               "    assert(b:sub(i, j) == text:sub(i, j), i..' '..j)\n"
               "    local x, y = {b:byte(i, j)}, {text:byte(i, j)}\n"
               "    assert(#x == #y and table.concat(x, ',') == table.concat(y, ','), i..' '..j)\n"
               "  end\n"
               "end\n"
               "assert(b:byte() == 72 and b:sub(2^40) == '' and b:sub(-2^40, 2^40) == text)\n"
               "assert(b:lower() == text:lower() and b:upper() == text:upper()) end");
}

static void test_patterns(void **state)
{
    plays(HEAD "assert(b:find('World') == 7 and b:find('l+') == 3 and b:match('%z(.*)') == 'World')\n"
               "assert(b:find('d', 1, true) == 11 and not b:find('x') and b:find('$') == 12)\n"
               "local n = 0 for word in b:gmatch('%a+') do n = n + #word end assert(n == 10)\n"
               "assert(string.find(b, 'World') == 7 and string.gsub(b, 'l', 'L') == 'HeLLo\\0WorLd')\n"
               "assert(string.upper(b) == 'HELLO\\0WORLD' and string.match(b, '^H') == 'H') end");
}

static void test_operators(void **state)
{
    plays("local a, b = ... assert(a == b and a ~= 'Hello' and rawequal(a, a) and not rawequal(a, b))\n"
          "assert(a .. '!' == 'Hello\\0World!' and '<' .. a == '<Hello\\0World' and 1 .. a .. 2 == "
          "'1Hello\\0World2')\n"
          "assert(a .. b == 'Hello\\0WorldHello\\0World')\n"
          "local ok, why = pcall(function() return a .. {} end) assert(not ok and why:find('a table value'), "
          "why)\n"
          "ok, why = pcall(function() return a.lenght end) assert(not ok, why)\n"
          "ok, why = pcall(function() a[1] = 2 end) assert(not ok)\n"
          "ok, why = pcall(a.sub, 'x', 1) assert(not ok)\n"
          "assert(not string.find(tostring(a), 'userdata'))");
}

static void test_dead(void **state)
{
    plays("local a, own, finish = ... local get = a.sub local find, next_word = a.find, a:gmatch('%a+')\n"
          "assert(next_word() == 'Hello') finish()\n"
          "for i, f in ipairs{function() return #a end, function() return a:sub(1) end, function() return "
          "a:find('x') end,\n"
          "  function() return tostring(a) end, function() return a .. 'x' end, function() return a == own "
          "end,\n"
          "  function() return string.gsub(a, 'x', '') end, function() return get(a, 1) end, next_word,\n"
          "  function() return find(a, 'x') end, function() return string.lower(a) end} do\n"
          "  local ok, why = pcall(f) assert(not ok and string.find(why, 'no longer valid', 1, true), i .. "
          "tostring(why))\n"
          "end\n"
          "assert(to(a) == nil and to(own) == 'Hello\\0World' and tostring(own) == 'Hello\\0World')");
}

static void test_detach(void **state)
{
    plays("local a, own, finish = ... local next_word = a:gmatch('%a+') assert(next_word() == 'Hello')\n"
          "detach(a) detach(a) detach(own) finish() collectgarbage() collectgarbage()\n"
          "assert(tostring(a) == 'Hello\\0World' and a == own and a:find('World') == 7 and next_word() == "
          "'World')\n"
          "assert(not pcall(detach, 'x') and not pcall(detach, {}))");
    plays("local a, own, finish = ... finish() detach(a) assert(not pcall(tostring, a))");
    plays("local a, own = ... assert(to('x') == 'x' and to(1) == nil and to({}) == nil and to(a) == "
          "'Hello\\0World')");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reading), cmocka_unit_test(test_patterns), cmocka_unit_test(test_operators),
        cmocka_unit_test(test_dead),    cmocka_unit_test(test_detach),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
