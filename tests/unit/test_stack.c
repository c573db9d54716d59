/* SPDX-License-Identifier: MIT */

/* Scripts that nest calls through C, on a thread with a small stack: each ends with an error or without one,
 * and not with the process. */

#include "script.h"

#include "api/cidr.h"
#include "api/logging.h"
#include "api/metrics.h"
#include "base/metrics.h"
#include "json/text.h"
#include "json/value.h"
#include "vm/stack.h"

#include <pthread.h>
#include <stdio.h>

enum { STACK = MQLUA_STACK_FACTOR * 256 * 1024 };

static const char *const scripts[] = {
    "local m = {} local t = setmetatable({}, m) m.__pairs = function(t) return pairs(t) end pairs(t)",
    "local m = {} local t = setmetatable({}, m) function m.__tostring(t) return string.format('%s', t) end "
    "return tostring(t)",
    "local m = {} local t = setmetatable({}, m) function m.__tostring(t) mq.log.info('%s', t) return '' end "
    "return tostring(t)",
    "local m = {} local t = setmetatable({}, m) function m.__index(t) return os.time(t) end os.time(t)",
    "local m = {} function m.__lt(a, b) table.sort({a, b, a}) return false end "
    "local t = setmetatable({}, m) table.sort({t, setmetatable({}, m), t})",
    "local function f() table.sort({3, 2, 1}, f) end f()",
    "local function f() return (('x'):gsub('x', f)) end f()",
    "local m = {} local t = setmetatable({}, m) function m.__index() return (('x'):gsub('x', t)) end "
    "(('x'):gsub('x', t))",
    "local function h() xpcall(error, h) end xpcall(error, h)",
    "local function h() xpcall(h, h) error('x') end xpcall(h, h)",
    "local function f() return coroutine.wrap(f)() end f()",
    "local function f() return coroutine.resume(coroutine.create(f)) end f()",
    "local function f() return load(f) end f()",
    "local function f() load(f) return '' end f()",
    "package.preload.a = function() package.loaded.a = nil return require('a') end require('a')",
    "local n = 0 table.insert(package.loaders, 1, function(name) return require(name .. 'x') end) "
    "require('a')",
    "local function f() module('x' .. math.random(), f) end f()",
    "local c = mq.counter('c', {labels = {'a'}}) local m = {} local t = setmetatable({}, m) "
    "function m.__index() c:inc(t) end c:inc(t)",
    "local m = {} local t = setmetatable({}, m) function m.__index() return mq.json.encode({}, t) end "
    "mq.json.encode({}, t)",
    "local m = {} m.__concat = function(a, b) return a .. b end local t = setmetatable({}, m) return t .. t",
    "local m = {} m.__eq = function(a, b) return a == b end "
    "return setmetatable({}, m) == setmetatable({}, m)",
    "local m = {} m.__call = function(t) return t() + 1 end return setmetatable({}, m)()",
    "local m = {} m.__index = function(t, k) return t[k .. 'x'] .. '' end return setmetatable({}, m).x",
    "local m = {} m.__tostring = function(t) error(t) end error(setmetatable({}, m))",
    "local m = {} local t = setmetatable({}, m) m.__tostring = function(t) return tostring(t) .. '' end "
    "error(t)",
    "return load('return ' .. ('('):rep(190) .. '1' .. (')'):rep(190))()",
    "return load(('do '):rep(190) .. ('end '):rep(190))()",
    "return load('return ' .. ('{'):rep(1e5))",
    "return load('return ' .. ('function() return '):rep(1e4))",
    "return load('local x ' .. ('x.x='):rep(1e4) .. '1')",
    "return load('return ' .. ('- '):rep(1e5) .. '1')",
    "return load('return ' .. ('a..'):rep(1e4) .. 'a')",
    "return mq.json.decode(('['):rep(1e5))",
    "return mq.json.decode(('['):rep(510) .. (']'):rep(510))",
    "return mq.json.decode(('{\"a\":'):rep(1e5))",
    "local t = {} for _ = 1, 510 do t = {t} end return mq.json.encode(t)",
    "local t = {} for _ = 1, 1e5 do t = {t} end return mq.json.encode(t)",
    "return (('a'):rep(1e5)):find(('(a'):rep(30) .. (')'):rep(30))",
    "return (('a'):rep(1e5)):find('.-.-.-b')",
    "return (('a?'):rep(1e4)):find(('a?'):rep(1e4) .. 'b')",
};

/* Each script again at the place where the stack is nearly used up. */
static const char deeply[] = "local text, nest = ...\n"
                             "local run = assert(load(text))\n"
                             "local function down()\n"
                             "  local ok = pcall(string.gsub, 'x', 'x', down)\n"
                             "  if not ok then pcall(run) end\n"
                             "end\n"
                             "down()\n";

typedef struct trial {
    mqlua_vm *vm;
    const char *text;
    bool deep;
} trial;

static int run_text(lua_State *L)
{
    const trial *t = lua_touserdata(L, 1);
    const char *text = t->deep ? deeply : t->text;
    if (luaL_loadbuffer(L, text, strlen(text), "@policy.lua"))
        return lua_error(L);
    lua_pushstring(L, t->text);
    lua_call(L, 1, 0);
    return 0;
}

static void *on_thread(void *argument)
{
    trial *t = argument;
    char *error = NULL;
    mqlua_vm_call(t->vm, run_text, t, &error);
    free(error);
    return NULL;
}

static void run(const char *text, bool deep)
{
    static const mqlua_vm_limits limits = {.memory = 64 << 20, .budget = 0.5};
    void (*parts[])(lua_State *) = {mqlua_json_open, mqlua_cidr_open, mqlua_logging_open, mqlua_metrics_open,
                                    NULL};
    mqlua_env env = {.phase = MQLUA_SERVING, .metrics = mqlua_metrics_new(NULL, NULL, NULL)};
    mqlua_vm *vm = script_vm(&env, parts);
    mqlua_vm_set_budget(vm, limits.budget);
    trial t = {.vm = vm, .text = text, .deep = deep};
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    assert_int_equal(pthread_attr_setstacksize(&attributes, STACK), 0);
    assert_int_equal(pthread_create(&thread, &attributes, on_thread, &t), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    mqlua_vm_free(vm);
    mqlua_metrics_free(env.metrics);
}

static void nested_calls(void **state)
{
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        fprintf(stderr, "%zu: %.90s\n", i, scripts[i]); /* what a crash was at */
        run(scripts[i], false);
        run(scripts[i], true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nested_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
