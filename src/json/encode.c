/* SPDX-License-Identifier: MIT */

/* mq.json.encode. Written here and not with jansson's dump, because that writes 0.1 as 0.10000000000000001,
 * would need a second copy of the whole value outside of the script's memory limit, and cannot be
 * interrupted. */

#include "base/number.h"
#include "base/utf8.h"
#include "json/text.h"
#include "json/value.h"
#include "vm/vm.h"
#include "vm/stack.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <lauxlib.h>

/* The text so far is in a userdata, so that it is freed and counted as everything of Lua. */
typedef struct output {
    lua_State *L;
    int slot; /* the stack index of the userdata */
    char *data;
    size_t used, room;
    bool pretty, sort;
    bool strict; /* raises for what is not UTF-8 */
} output;

static char *reserve(output *out, size_t size)
{
    if (out->room - out->used < size) {
        size_t room = 2 * out->room + size;
        char *data = lua_newuserdata(out->L, room);
        if (out->used)
            memcpy(data, out->data, out->used);
        lua_replace(out->L, out->slot);
        out->data = data;
        out->room = room;
    }
    return out->data + out->used;
}

static void add(output *out, const char *text, size_t size)
{
    memcpy(reserve(out, size), text, size);
    out->used += size;
}

static void add_text(output *out, const char *text)
{
    add(out, text, strlen(text));
}

static void add_line(output *out, unsigned depth)
{
    if (!out->pretty)
        return;
    char *at = reserve(out, 1 + 2 * (size_t)depth);
    *at = '\n';
    memset(at + 1, ' ', 2 * (size_t)depth);
    out->used += 1 + 2 * (size_t)depth;
}

/* At most six bytes. */
static size_t escape(char *to, unsigned char c)
{
    static const char from[] = "\"\\\b\f\n\r\t", into[] = "\"\\bfnrt";
    const char *found = c ? strchr(from, c) : NULL;
    if (found) {
        to[0] = '\\';
        to[1] = into[found - from];
        return 2;
    }
    static const char digits[] = "0123456789abcdef";
    memcpy(to, "\\u00", 4);
    to[4] = digits[c >> 4];
    to[5] = digits[c & 15];
    return 6;
}

static void add_string(output *out, const char *text, size_t size, const mqlua_path *path)
{
    mqlua_vm_charge(out->L, size);
    add(out, "\"", 1);
    for (size_t i = 0, step; i < size; i += step) {
        unsigned char c = (unsigned char)text[i];
        step = mqlua_utf8_read(text + i, size - i, NULL);
        if (!step && out->strict)
            mqlua_path_raise(out->L, path, "this string is not UTF-8 (byte %d)", (int)i + 1);
        char *to = reserve(out, 6);
        if (!step) {
            memcpy(to, MQLUA_UTF8_REPLACEMENT, MQLUA_UTF8_REPLACEMENT_SIZE);
            out->used += MQLUA_UTF8_REPLACEMENT_SIZE;
            step = 1;
        } else if (c < 0x20 || c == '"' || c == '\\') {
            out->used += escape(to, c);
        } else {
            memcpy(to, text + i, step);
            out->used += step;
        }
    }
    add(out, "\"", 1);
}

static void add_scalar(output *out, const mqlua_scalar *scalar, const mqlua_path *path)
{
    char text[32];
    switch (scalar->type) {
    case MQLUA_TREE_BOOLEAN:
        add_text(out, scalar->boolean ? "true" : "false");
        break;
    case MQLUA_TREE_INTEGER:
        if (scalar->beyond)
            snprintf(text, sizeof(text), "%" PRIu64, (uint64_t)scalar->integer);
        else
            snprintf(text, sizeof(text), "%" PRId64, scalar->integer);
        add_text(out, text);
        break;
    case MQLUA_TREE_REAL:
        mqlua_number_format(scalar->real, text);
        add_text(out, text);
        break;
    case MQLUA_TREE_STRING:
        add_string(out, scalar->string, scalar->size, path);
        break;
    default:
        add_text(out, "null");
        break;
    }
}

static void add_value(output *out, int index, const mqlua_path *path);

static void add_array(output *out, int index, const mqlua_path *path, size_t count)
{
    lua_State *L = out->L;
    add_text(out, "[");
    for (size_t i = 1; i <= count; i++) {
        if (i > 1)
            add_text(out, ",");
        add_line(out, path->depth + 1);
        lua_rawgeti(L, index, (int)i);
        add_value(out, lua_gettop(L), &MQLUA_PATH_INDEX(path, i));
        lua_pop(L, 1);
    }
    if (count)
        add_line(out, path->depth);
    add_text(out, "]");
}

/* The key at index and the value at index + 1. */
static void add_member(output *out, int index, const mqlua_path *path, bool first)
{
    size_t size;
    const char *key = lua_tolstring(out->L, index, &size);
    mqlua_path here = MQLUA_PATH_KEY(path, key);
    if (!first)
        add_text(out, ",");
    add_line(out, path->depth + 1);
    add_string(out, key, size, &here);
    add_text(out, out->pretty ? ": " : ":");
    add_value(out, index + 1, &here);
}

typedef struct sorted_key {
    const char *text; /* borrowed: the table has it */
    size_t size;
} sorted_key;

static int compare_keys(const void *left, const void *right)
{
    const sorted_key *a = left, *b = right;
    int order = memcmp(a->text, b->text, a->size < b->size ? a->size : b->size);
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

static void add_sorted(output *out, int index, const mqlua_path *path, size_t count)
{
    lua_State *L = out->L;
    sorted_key *keys = lua_newuserdata(L, count * sizeof(*keys));
    size_t found = 0;
    lua_pushnil(L);
    while (lua_next(L, index)) {
        lua_pop(L, 1);
        keys[found].text = lua_tolstring(L, -1, &keys[found].size);
        found++;
    }
    qsort(keys, found, sizeof(*keys), compare_keys);
    for (size_t i = 0; i < found; i++) {
        lua_pushlstring(L, keys[i].text, keys[i].size);
        lua_pushvalue(L, -1);
        lua_rawget(L, index);
        add_member(out, lua_gettop(L) - 1, path, i == 0);
        lua_pop(L, 2);
    }
    lua_pop(L, 1);
}

static void add_object(output *out, int index, const mqlua_path *path, size_t count)
{
    lua_State *L = out->L;
    add_text(out, "{");
    if (out->sort && count) {
        add_sorted(out, index, path, count);
    } else {
        bool first = true;
        lua_pushnil(L);
        while (lua_next(L, index)) {
            add_member(out, lua_gettop(L) - 1, path, first);
            first = false;
            lua_pop(L, 1);
        }
    }
    if (count)
        add_line(out, path->depth);
    add_text(out, "}");
}

static void add_value(output *out, int index, const mqlua_path *path)
{
    mqlua_scalar scalar;
    bool is_scalar = mqlua_value_scalar(out->L, index, path, &scalar);
    mqlua_path_count(out->L, path, scalar.size + (path->key ? strlen(path->key) : 0));
    if (is_scalar) {
        add_scalar(out, &scalar, path);
        return;
    }
    mqlua_path here = *path;
    size_t count;
    if (mqlua_value_table(out->L, index, &here, &count) == MQLUA_TREE_ARRAY)
        add_array(out, index, &here, count);
    else
        add_object(out, index, &here, count);
}

static bool option(lua_State *L, const char *name)
{
    mqlua_stack_check(L); /* __index */
    lua_getfield(L, 2, name);
    bool set = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return set;
}

/* invalid = "error" or "replace": what becomes of bytes that are no UTF-8. */
static bool strict_option(lua_State *L)
{
    lua_getfield(L, 2, "invalid");
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    bool strict = strcmp(text, "error") == 0;
    if (!lua_isnil(L, -1) && !strict && strcmp(text, "replace") != 0)
        luaL_error(L, "mq.json.encode: invalid must be \"error\" or \"replace\"");
    lua_pop(L, 1);
    return strict;
}

static void check_options(lua_State *L)
{
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_pushnil(L);
    while (lua_next(L, 2)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : luaL_typename(L, -2);
        if (strcmp(name, "invalid") != 0 && strcmp(name, "pretty") != 0 && strcmp(name, "sort_keys") != 0)
            luaL_error(L, "mq.json.encode has no option '%s' (invalid, pretty, sort_keys)", name);
        lua_pop(L, 1);
    }
}

int mqlua_encode_l_encode(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_settop(L, 2);
    output out = {.L = L, .slot = 3};
    mqlua_amount amount = {0, 0};
    if (!lua_isnil(L, 2)) {
        check_options(L);
        out.pretty = option(L, "pretty");
        out.sort = option(L, "sort_keys");
        out.strict = strict_option(L);
    }
    lua_pushnil(L);
    add_value(&out, 1, &(mqlua_path){NULL, "value", 0, NULL, 0, &amount});
    lua_pushlstring(L, out.data, out.used);
    return 1;
}
