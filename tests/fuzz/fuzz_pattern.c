/* SPDX-License-Identifier: MIT */

/*
 * The pattern functions against LuaJIT's own: the same results and messages, for strings and for buffers.
 * Input: the pattern, a newline, the replacement, a newline, the subject. Lengths are limited, because
 * LuaJIT's functions cannot be stopped.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vm/bytes.h"
#include "vm/pattern.h"

static const char compare[] =
    "local ours, stock = string, {}\n"
    "local subject, pattern, replacement, buffer = ...\n"
    "for k, v in pairs(originals) do stock[k] = v end\n"
    "local function all(...) return {n = select('#', ...), ...} end\n"
    "local function collect(gmatch, ...)\n"
    "  local out = {n = 0}\n"
    "  for a, b, c in gmatch(...) do\n"
    "    out[out.n + 1], out[out.n + 2], out[out.n + 3] = a, b, c\n"
    "    out.n = out.n + 3\n"
    "  end\n"
    "  return unpack(out, 1, math.min(out.n, 200))\n"
    "end\n"
    "local function check(what, a, b)\n"
    "  if a.n ~= b.n then error(what..': '..a.n..' <> '..b.n) end\n"
    "  for i = 1, a.n do\n"
    "    if a[i] ~= b[i] then error(what..': '..tostring(a[i])..' <> '..tostring(b[i])) end\n"
    "  end\n"
    "end\n"
    "for _, s in ipairs{subject, buffer} do\n"
    "  for _, name in ipairs{'find', 'match'} do\n"
    "    for _, init in ipairs{1, 3, -2} do\n"
    "      check(name, all(pcall(stock[name], subject, pattern, init)), all(pcall(ours[name], s, pattern, "
    "init)))\n"
    "    end\n"
    "  end\n"
    "  check('plain', all(stock.find(subject, pattern, 2, true)), all(ours.find(s, pattern, 2, true)))\n"
    "  check('gmatch', all(pcall(collect, stock.gmatch, subject, pattern)),\n"
    "        all(pcall(collect, ours.gmatch, s, pattern)))\n"
    "  local function callback(a, b) return b and tostring(b)..tostring(a) end\n"
    "  for _, r in ipairs{replacement, callback, {a = 'b', [''] = 'x', [1] = 2}} do\n"
    "    check('gsub', all(pcall(stock.gsub, subject, pattern, r)), all(pcall(ours.gsub, s, pattern, r)))\n"
    "    check('gsub 2', all(pcall(stock.gsub, subject, pattern, r, 2)), all(pcall(ours.gsub, s, pattern, r, "
    "2)))\n"
    "  end\n"
    "end\n";

typedef struct parts {
    const char *text[3];
    size_t size[3];
} parts;

/* Leaves the compiled comparison in the registry, with LuaJIT's own functions in the global table originals.
 */
static int prepare(lua_State *L)
{
    lua_pushcfunction(L, luaopen_string);
    lua_call(L, 0, 0);
    lua_newtable(L);
    lua_getglobal(L, "string");
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        lua_pushvalue(L, -2);
        lua_pushvalue(L, -2);
        lua_rawset(L, -6);
    }
    lua_pop(L, 1);
    lua_setglobal(L, "originals");
    mqlua_pattern_open(L);
    if (luaL_loadbuffer(L, compare, sizeof(compare) - 1, "=compare"))
        lua_error(L);
    lua_setfield(L, LUA_REGISTRYINDEX, "compare");
    return 0;
}

static int run(lua_State *L)
{
    const parts *p = lua_touserdata(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, "compare");
    lua_pushlstring(L, p->text[2], p->size[2]);
    lua_pushlstring(L, p->text[0], p->size[0]);
    lua_pushlstring(L, p->text[1], p->size[1]);
    mqlua_bytes_push_copy(L, p->text[2], p->size[2]);
    lua_call(L, 4, 0);
    return 0;
}

static mqlua_vm *start(void)
{
    const mqlua_vm_limits limits = {0};
    mqlua_vm *vm = mqlua_vm_new(&limits);
    if (!vm || mqlua_vm_call(vm, prepare, NULL, NULL))
        abort();
    return vm;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static mqlua_vm *vm;
    parts p = {{"", "", ""}, {0, 0, 0}};
    const char *at = (const char *)data, *end = at + size;
    if (!vm)
        vm = start();
    if (size > 96)
        return 0;
    for (int i = 0; i < 3 && at < end; i++) {
        const char *stop = i < 2 ? memchr(at, '\n', (size_t)(end - at)) : NULL;
        if (!stop)
            stop = end;
        p.text[i] = at;
        p.size[i] = (size_t)(stop - at);
        at = stop + (stop < end);
    }
    if (p.size[2] > 24) /* with a dozen wildcards even this is a lot */
        p.size[2] = 24;
    int wild = 0;
    for (size_t i = 0; i < p.size[0]; i++)
        wild += memchr("*+-?", p.text[0][i], 4) != NULL;
    if (wild > 5)
        return 0;
    char *error = NULL;
    if (mqlua_vm_call(vm, run, &p, &error)) {
        fprintf(stderr, "pattern [%.*s] replacement [%.*s] subject [%.*s]: %s\n", (int)p.size[0], p.text[0],
                (int)p.size[1], p.text[1], (int)p.size[2], p.text[2], error ? error : "?");
        abort();
    }
    free(error);
    return 0;
}
