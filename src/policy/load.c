/* SPDX-License-Identifier: MIT */

#include "policy/load.h"
#include "policy/bundle_internal.h"
#include "policy/requires.h"
#include "base/error.h"
#include "base/mark.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MODULE_NAME = 200 }; /* bytes of a name in require; longer is none */

/* ---- compiling ---- */

typedef struct output {
    char *bytes;
    size_t size, room;
} output;

static int append(lua_State *L, const void *data, size_t size, void *ud)
{
    output *out = ud;
    if (out->size + size > out->room) {
        size_t room = (out->size + size) * 2;
        char *bytes = realloc(out->bytes, room);
        if (!bytes)
            return 1;
        out->bytes = bytes;
        out->room = room;
    }
    memcpy(out->bytes + out->size, data, size);
    out->size += size;
    return 0;
}

/* The name that errors show: relative to the policy's folder, so that messages are short and the same
 * everywhere. */
static void push_chunkname(lua_State *L, const mqlua_file *file)
{
    lua_pushfstring(L, "@%s", file->name);
}

static void load_text(lua_State *L, const mqlua_file *file)
{
    const char *foreign = mqlua_mark_foreign(file->text, file->size);
    if (foreign)
        luaL_error(L, "%s:1: the file is %s: save it as UTF-8", file->name, foreign);
    push_chunkname(L, file);
    if (luaL_loadbufferx(L, file->text, file->size, lua_tostring(L, -1), "t"))
        lua_error(L);
    lua_remove(L, -2);
}

typedef struct compile {
    mqlua_file *file;
    output out;
} compile;

static int compile_file(lua_State *L)
{
    compile *c = lua_touserdata(L, 1);
    load_text(L, c->file);
    if (lua_dump(L, append, &c->out))
        luaL_error(L, "%s: not enough memory", c->file->name);
    return 0;
}

static bool keep_bytecode(mqlua_vm *vm, mqlua_file *file, char **error)
{
    compile c = {.file = file};
    if (file->kind != MQLUA_FILE_LUA || file->parsed)
        return true;
    if (mqlua_vm_call(vm, compile_file, &c, error)) {
        free(c.out.bytes);
        return false;
    }
    file->parsed = c.out.bytes;
    file->parsed_size = c.out.size;
    file->free_parsed = free;
    return true;
}

/* ---- require ---- */

static void push_function(lua_State *L, const mqlua_file *file)
{
    if (!file->parsed) {
        load_text(L, file);
        return;
    }
    push_chunkname(L, file);
    if (luaL_loadbuffer(L, file->parsed, file->parsed_size, lua_tostring(L, -1)))
        lua_error(L);
    lua_remove(L, -2);
}

static mqlua_bundle *bundle_of(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

/* Pushes the function of a file of the bundle if there is one of that path. */
static bool push_bundled(lua_State *L, const char *path)
{
    char *error = NULL;
    mqlua_file *file = mqlua_bundle_file(bundle_of(L), path, MQLUA_FILE_LUA, &error);
    free(error);
    if (!file)
        return false;
    push_function(L, file);
    return true;
}

/* Is error about a file that is not there? Then whatever requires it is told when it does. */
static bool is_absent(const char *error)
{
    return strstr(error, mqlua_error_text(ENOENT)) || strstr(error, mqlua_error_text(ENOTDIR));
}

/* Pushes why a file that is there cannot be read, as a line for the message of require; "" when it is not
 * there. */
static void push_reason(lua_State *L, const char *path)
{
    char text[600] = "", *error = NULL;
    if (!mqlua_bundle_sealed(bundle_of(L)) &&
        !mqlua_bundle_file(bundle_of(L), path, MQLUA_FILE_LUA, &error) && error && !is_absent(error))
        snprintf(text, sizeof text, "\n\t%s", error);
    free(error);
    lua_pushstring(L, text);
}

static int search_policy(lua_State *L)
{
    const char *name = luaL_gsub(L, luaL_checkstring(L, 1), ".", "/");
    const char *file = lua_pushfstring(L, "%s.lua", name), *init = lua_pushfstring(L, "%s/init.lua", name);
    if (push_bundled(L, file) || push_bundled(L, init))
        return 1;
    push_reason(L, file);
    lua_pushfstring(L, "\n\tno file '%s' or '%s' in the policy's folder%s", file, init, lua_tostring(L, -1));
    return 1;
}

static int search_library(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    for (const mqlua_embedded *module = mqlua_library; module->name; module++) {
        if (strcmp(module->name, name) != 0)
            continue;
        lua_pushfstring(L, "=%s", name);
        if (luaL_loadbuffer(L, module->text, module->size, lua_tostring(L, -1)))
            lua_error(L);
        return 1;
    }
    lua_pushfstring(L, "\n\tno module '%s' in the library of mailerq-lua", name);
    return 1;
}

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* The file of a module (with slashes for dots) in Lua's usual paths, in the bundle from here on; NULL: none.
 */
static mqlua_file *find_in_path(lua_State *L, mqlua_bundle *bundle, const char *name)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "path");
    const char *path = luaL_checkstring(L, -1);
    while (*path) {
        size_t size = strcspn(path, ";");
        lua_pushlstring(L, path, size);
        const char *candidate = luaL_gsub(L, lua_tostring(L, -1), "?", name);
        path += size + (path[size] == ';');
        /* Relative ones would be the host's working folder, which means nothing here. */
        mqlua_file *file = candidate[0] == '/' && (mqlua_bundle_sealed(bundle) || is_file(candidate))
                               ? mqlua_bundle_file(bundle, candidate, MQLUA_FILE_LUA, NULL)
                               : NULL;
        if (file)
            return file;
    }
    return NULL;
}

/* Lua's usual paths. What is found there becomes part of the bundle while that is open; afterwards only what
 * is in it can be required, because a worker reads no files. */
static int search_path(lua_State *L)
{
    const char *name = luaL_gsub(L, luaL_checkstring(L, 1), ".", "/");
    mqlua_file *file = find_in_path(L, bundle_of(L), name);
    if (file) {
        push_function(L, file);
        return 1;
    }
    if (mqlua_bundle_sealed(bundle_of(L)))
        lua_pushfstring(L,
                        "\n\t'%s' was not required while the policy loaded: a running policy is a snapshot "
                        "and reads no files; "
                        "require it at the top level",
                        name);
    else
        lua_pushliteral(L, "\n\tno file in Lua's usual paths");
    return 1;
}

static void put_searcher(lua_State *L, int index, lua_CFunction searcher, mqlua_bundle *bundle)
{
    lua_pushlightuserdata(L, bundle);
    lua_pushcclosure(L, searcher, 1);
    lua_rawseti(L, -2, index);
}

void mqlua_load_open(lua_State *L, mqlua_bundle *bundle, bool c_modules)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "loaders"); /* 1 preload, 2 Lua files, 3 and 4 C modules */
    if (c_modules) {
        lua_rawgeti(L, -1, 3);
        lua_rawseti(L, -2, 5);
        lua_rawgeti(L, -1, 4);
        lua_rawseti(L, -2, 6);
    } else {
        lua_pushnil(L);
        lua_setfield(L, -3, "cpath");
    }
    put_searcher(L, 2, search_policy, bundle);
    put_searcher(L, 3, search_library, bundle);
    put_searcher(L, 4, search_path, bundle);
    lua_pop(L, 2);
}

/* ---- what is required by a literal name, and only when a handler runs ---- */

typedef struct search {
    mqlua_bundle *bundle;
    const mqlua_file *file;
    const char *name;
    size_t size;
    char *error; /* malloc'ed */
} search;

/* Takes the file into the bundle. False: it is not there. s->error: it is, and cannot be read. */
static bool bundle_has(search *s, const char *path)
{
    if (mqlua_bundle_file(s->bundle, path, MQLUA_FILE_LUA, &s->error))
        return true;
    if (s->error && is_absent(s->error)) {
        free(s->error);
        s->error = NULL;
    }
    return s->error != NULL;
}

static int find_required(lua_State *L)
{
    search *s = lua_touserdata(L, 1);
    lua_pushlstring(L, s->name, s->size);
    const char *module = lua_tostring(L, -1), *name = luaL_gsub(L, module, ".", "/");
    if (bundle_has(s, lua_pushfstring(L, "%s.lua", name)) ||
        bundle_has(s, lua_pushfstring(L, "%s/init.lua", name)))
        return 0;
    for (const mqlua_embedded *embedded = mqlua_library; embedded->name; embedded++)
        if (strcmp(embedded->name, module) == 0)
            return 0;
    find_in_path(L, s->bundle, name);
    return 0;
}

/* *error becomes what is wrong with a file that is required, and by whom. */
static void tell_required(search *s, char **error)
{
    char *text = NULL;
    if (!s->error)
        return;
    if (asprintf(&text, "%s requires '%.*s': %s", s->file->name, (int)s->size, s->name, s->error) < 0)
        text = NULL;
    free(*error);
    free(s->error);
    *error = text;
}

/* Takes what the file requires into the bundle. */
static bool follow_requires(mqlua_vm *vm, mqlua_bundle *bundle, mqlua_file *file, char **error)
{
    mqlua_bundle_file_entry *entry = (mqlua_bundle_file_entry *)file;
    search s = {.bundle = bundle, .file = file};
    mqlua_requires requires = {file->text, file->text + file->size};
    if (file->kind != MQLUA_FILE_LUA || entry->searched || mqlua_bundle_sealed(bundle))
        return true;
    entry->searched = true;
    while (mqlua_requires_next(&requires, &s.name, &s.size)) {
        if (s.size > MODULE_NAME)
            continue;
        bool good = mqlua_vm_call(vm, find_required, &s, error) == 0 && !s.error;
        if (!good) {
            tell_required(&s, error);
            return false;
        }
    }
    return true;
}

/* Files that are found on the way come behind the others. */
bool mqlua_load_compile(mqlua_vm *vm, mqlua_bundle *bundle, char **error)
{
    for (mqlua_file *file = mqlua_bundle_files(bundle); file; file = file->next)
        if (!keep_bytecode(vm, file, error) || !follow_requires(vm, bundle, file, error))
            return false;
    return true;
}

/* ---- running ---- */

static int run_entry(lua_State *L)
{
    mqlua_bundle *bundle = lua_touserdata(L, 1);
    push_function(L, mqlua_bundle_entry(bundle));
    lua_call(L, 0, 0);
    return 0;
}

static int l_new_global(lua_State *L)
{
    return luaL_error(
        L,
        "the global '%s' cannot be made after loading: it would be shared by all connections by "
        "accident; write 'local', or use connection.vars",
        lua_tostring(L, 2));
}

static int close_globals(lua_State *L)
{
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, l_new_global);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, LUA_GLOBALSINDEX);
    return 0;
}

/* "policy.lua:12: ..." */
static bool has_place(const char *error)
{
    const char *colon = strchr(error, ':');
    return colon && colon[1] >= '0' && colon[1] <= '9' && !memchr(error, ' ', (size_t)(colon - error));
}

/* An error without a place (of a library function, or for lack of memory) names the policy at least. */
static void name_policy(const mqlua_bundle *bundle, char **error)
{
    char *named = NULL;
    if (!*error || has_place(*error) ||
        asprintf(&named, "%s: %s", mqlua_bundle_entry(bundle)->name, *error) < 0)
        return;
    free(*error);
    *error = named;
}

bool mqlua_load_run(mqlua_vm *vm, mqlua_bundle *bundle, char **error)
{
    if (mqlua_vm_call(vm, run_entry, bundle, error)) {
        name_policy(bundle, error);
        return false;
    }
    /* What it required by a name that it made up is in the bundle now. */
    return mqlua_load_compile(vm, bundle, error) && mqlua_vm_call(vm, close_globals, NULL, error) == 0;
}
