/* SPDX-License-Identifier: MIT */

/* What a fresh state lets a policy reach, against the list in docs/LUA_API.md. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vm/vm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    unsigned bit;
} allows[] = {
    {"os.exit", MQLUA_ALLOW_OS_EXIT},   {"os.execute", MQLUA_ALLOW_OS_EXECUTE},
    {"io.popen", MQLUA_ALLOW_IO_POPEN}, {"os.setlocale", MQLUA_ALLOW_OS_SETLOCALE},
    {"debug", MQLUA_ALLOW_DEBUG},       {"jit", MQLUA_ALLOW_JIT},
    {"ffi", MQLUA_ALLOW_FFI},           {"cmodules", MQLUA_ALLOW_CMODULES},
    {"bytecode", MQLUA_ALLOW_BYTECODE},
};

enum { ALLOWS = sizeof allows / sizeof *allows };

static char document[400000];

static void read_document(void)
{
    FILE *file = fopen("docs/LUA_API.md", "r");
    assert_non_null(file);
    document[fread(document, 1, sizeof document - 1, file)] = 0;
    fclose(file);
}

/* The next name in backquotes within a cell; NULL at its end. *at is moved on. */
static const char *next_name(const char **at, char name[64])
{
    const char *from = strpbrk(*at, "`|\n");
    if (!from || *from != '`')
        return NULL;
    const char *end = strchr(from + 1, '`');
    snprintf(name, 64, "%.*s", (int)(end - from - 1), from + 1);
    *at = end + 1;
    return name;
}

static unsigned bit_of(const char *name)
{
    for (size_t i = 0; i < ALLOWS; i++)
        if (!strcmp(allows[i].name, name))
            return allows[i].bit;
    fail_msg("the document names '%s' in the column of allow", name);
    return 0;
}

/* A table by library of sets of names. */
static void push_documented(lua_State *L, unsigned allow)
{
    const char *row = strstr(document, "### What there is of Lua's libraries");
    lua_newtable(L);
    assert_non_null(row);
    row = strstr(row, "|---|---|---|\n") + strlen("|---|---|---|\n");
    for (; *row == '|'; row = strchr(row, '\n') + 1) {
        char library[64], name[64];
        const char *at = row + 1, *names, *condition;
        assert_non_null(next_name(&at, library));
        names = at = strchr(at, '|') + 1;
        condition = strchr(at, '|') + 1;
        if (next_name(&condition, name) && !(bit_of(name) & allow))
            continue;
        lua_getfield(L, -1, library);
        if (lua_isnil(L, -1)) {
            lua_pop(L, 1);
            lua_newtable(L);
            lua_pushvalue(L, -1);
            lua_setfield(L, -3, library);
        }
        while (next_name(&names, name)) {
            lua_pushboolean(L, 1);
            lua_setfield(L, -2, name);
        }
        lua_pop(L, 1);
    }
}

/* Walks everything; two arguments: what is documented, and functions that Lua code has no access to. Returns
 * the differences. */
static const char walk[] =
    "local documented, env_of, meta_of, upvalue_of, strict = ...\n"
    "local wrong, seen, holders = {}, {}, {}\n"
    "local function note(...) wrong[#wrong + 1] = table.concat({...}) end\n"
    "local tables = {_G = _G, ['package.loaded'] = package.loaded, ['package.preload'] = package.preload}\n"
    "for name in pairs(documented) do tables[name] = tables[name] or _G[name] end\n"
    "local of_library = {}\n"
    "for name, t in pairs(tables) do of_library[t] = name end\n"
    "for name, t in pairs(tables) do\n"
    "  for key in pairs(t) do\n"
    "    if not (documented[name] or {})[key] then note(name, '.', tostring(key), ' is not documented') end\n"
    "  end\n"
    "  for key in pairs(documented[name] or {}) do\n"
    "    local ours = name == '_G' and (key == 'mq' or key == 'print')\n" /* the library of mq makes them */
    "    if t[key] == nil and not ours then note(name, '.', key, ' is not there') end\n"
    "  end\n"
    "end\n"
    "if not strict then return table.concat(wrong, '\\n') end\n"
    /* Lua code of ours that holds what it wraps: only debug.getupvalue would show it. */
    "for name in ('setfenv pcall xpcall load loadstring collectgarbage require module string.format "
    "table.concat '\n"
    "    .. 'table.sort os.time os.date coroutine.resume coroutine.wrap coroutine.running coroutine.yield "
    "pairs '\n"
    "    .. 'debug.getinfo ipairs math.random math.randomseed'):gmatch('%S+') do\n"
    "  local library, key = name:match('^(%w+)%.(%w+)$')\n"
    "  holders[library and _G[library][key] or _G[name]] = true\n"
    "end\n"
    "local visit\n"
    "local function parts(value, path, held)\n"
    "  local kind = type(value)\n"
    "  local meta = meta_of(value)\n"
    "  if meta then\n"
    "    for key, member in pairs(meta) do\n"
    "      if not key:find('^__') then note(path, ': its metatable has ', key) end\n"
    "      visit(member, path .. '@' .. key, held)\n"
    "    end\n"
    "  end\n"
    "  if kind == 'function' then\n"
    "    visit(env_of(value), path .. ' (environment)', held)\n"
    "    for i = 1, 255 do\n"
    "      local there, up = upvalue_of(value, i)\n"
    "      if not there then break end\n"
    "      if type(up) ~= 'string' and not held and not holders[value] then note(path, ' holds a ', "
    "type(up)) end\n"
    "      visit(up, path .. '^' .. i, true)\n"
    "    end\n"
    "  elseif kind == 'table' then\n"
    "    local known = of_library[value] or value == package.loaders or held\n"
    "    if not known then note(path, ' is a table') end\n"
    "    for key, member in pairs(value) do visit(member, path .. '.' .. tostring(key), held) end\n"
    "  end\n"
    "end\n"
    "function visit(value, path, held)\n"
    "  if type(value) == 'userdata' and not held or type(value) == 'cdata' then note(path, ' is a ', "
    "type(value)) end\n"
    "  if value == nil or seen[value] then return end\n"
    "  if type(value) ~= 'table' and type(value) ~= 'function' then return end\n"
    "  seen[value] = true\n"
    "  parts(value, path, held)\n"
    "end\n"
    "seen[documented] = true\n"
    "visit(_G, '_G', false)\n"
    "visit(meta_of(''), 'string', true)\n"
    "if type(getmetatable('')) == 'table' then note('the metatable of strings is open') end\n"
    "if #package.loaders ~= 1 then note('package.loaders has ', #package.loaders) end\n"
    "return table.concat(wrong, '\\n')\n";

static int l_env(lua_State *L)
{
    lua_getfenv(L, 1);
    return 1;
}

static int l_meta(lua_State *L)
{
    return lua_getmetatable(L, 1);
}

static int l_upvalue(lua_State *L)
{
    lua_pushboolean(L, 1);
    return lua_getupvalue(L, 1, (int)lua_tointeger(L, 2)) ? 2 : 0;
}

typedef struct look {
    unsigned allow;
    char *wrong;
} look;

static int run_walk(lua_State *L)
{
    look *l = lua_touserdata(L, 1);
    if (luaL_loadbuffer(L, walk, sizeof walk - 1, "=walk"))
        return lua_error(L);
    push_documented(L, l->allow);
    lua_pushcfunction(L, l_env);
    lua_pushcfunction(L, l_meta);
    lua_pushcfunction(L, l_upvalue);
    lua_pushboolean(L, l->allow == 0);
    lua_call(L, 5, 1);
    l->wrong = strdup(lua_tostring(L, -1));
    return 0;
}

static void compare(unsigned allow)
{
    mqlua_vm_limits limits = {.memory = 64 << 20, .allow = allow};
    mqlua_vm *vm = mqlua_vm_new(&limits);
    look l = {.allow = allow};
    char *error = NULL;
    assert_non_null(vm);
    if (mqlua_vm_call(vm, run_walk, &l, &error))
        fail_msg("%s", error);
    if (l.wrong[0])
        fail_msg("allow %#x:\n%s", allow, l.wrong);
    free(l.wrong);
    mqlua_vm_free(vm);
}

static void what_is_reachable(void **state)
{
    unsigned all = 0;
    compare(0);
    for (size_t i = 0; i < ALLOWS; i++) {
        compare(allows[i].bit);
        all |= allows[i].bit;
    }
    compare(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_reachable),
    };
    read_document();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
