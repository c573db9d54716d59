/* SPDX-License-Identifier: MIT */

#include "json/text.h"
#include "base/number.h"
#include "json/doc.h"
#include "base/mark.h"
#include "json/value.h"
#include "vm/bytes.h"
#include "vm/vm.h"
#include "vm/stack.h"

#include <jansson.h>
#include <lauxlib.h>

/* Values in one text; jansson takes about a hundred bytes for each, outside of the memory that a script may
 * use. */
enum { VALUES = 2000000 };

/* What jansson takes of the stack for each level. */
enum { LEVEL_STACK = 400 };

/* Owns what jansson made while things that can raise are done with it. */
static const char owner_type[] = "mailerq-lua: json text";

static int l_owner_gc(lua_State *L)
{
    json_t **owner = lua_touserdata(L, 1);
    json_decref(*owner);
    *owner = NULL;
    return 0;
}

static json_t **push_owner(lua_State *L)
{
    json_t **owner = lua_newuserdata(L, sizeof(*owner));
    *owner = NULL;
    luaL_getmetatable(L, owner_type);
    lua_setmetatable(L, -2);
    return owner;
}

static void push_value(lua_State *L, json_t *value, const mqlua_path *path);

static void push_array(lua_State *L, json_t *array, const mqlua_path *path)
{
    size_t size = json_array_size(array);
    lua_createtable(L, (int)size, 0);
    for (size_t i = 0; i < size; i++) {
        push_value(L, json_array_get(array, i), &MQLUA_PATH_INDEX(path, i + 1));
        lua_rawseti(L, -2, (int)i + 1);
    }
    mqlua_value_mark(L, MQLUA_TREE_ARRAY);
}

static void push_object(lua_State *L, json_t *object, const mqlua_path *path)
{
    const char *key;
    json_t *value;
    lua_createtable(L, 0, (int)json_object_size(object));
    json_object_foreach(object, key, value)
    {
        lua_pushstring(L, key);
        push_value(L, value, &MQLUA_PATH_KEY(path, key));
        lua_rawset(L, -3);
    }
    if (!json_object_size(object))
        mqlua_value_mark(L, MQLUA_TREE_OBJECT);
}

static void push_value(lua_State *L, json_t *value, const mqlua_path *path)
{
    mqlua_scalar scalar = {.type = MQLUA_TREE_NULL};
    mqlua_vm_charge(L, 4);
    switch (json_typeof(value)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        if (path->depth >= MQLUA_VALUE_DEPTH)
            mqlua_path_raise(L, path, "nested deeper than %d levels", MQLUA_VALUE_DEPTH);
        mqlua_stack_check(L);
        luaL_checkstack(L, 16, "too deep");
        if (json_is_array(value))
            push_array(L, value, path);
        else
            push_object(L, value, path);
        return;
    case JSON_STRING:
        scalar.type = MQLUA_TREE_STRING;
        scalar.string = json_string_value(value);
        scalar.size = json_string_length(value);
        break;
    case JSON_INTEGER:
        scalar.type = MQLUA_TREE_INTEGER;
        scalar.integer = json_integer_value(value);
        break;
    case JSON_REAL:
        scalar.type = MQLUA_TREE_REAL;
        scalar.real = json_real_value(value);
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        scalar.type = MQLUA_TREE_BOOLEAN;
        scalar.boolean = json_is_true(value);
        break;
    default:
        break;
    }
    mqlua_value_push_scalar(L, &scalar);
}

/* How deep the text nests and how many values it has, at most; what is in strings does not count. Returns
 * what is wrong, and where in *at. jansson takes a NUL outside of strings for the end of the text. */
static const char *measure(const char *text, size_t size, size_t *at, size_t *deepest)
{
    size_t values = 0, depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        *at = i;
        if (!c)
            return "a NUL byte is no JSON";
        if (c == '"')
            quoted = !quoted;
        else if (quoted)
            i += c == '\\';
        else if (c == '[' || c == '{' || c == ',' || c == ':')
            values++;
        if (!quoted && (c == '[' || c == '{'))
            depth++;
        if (depth > *deepest)
            *deepest = depth;
        if (!quoted && (c == ']' || c == '}') && depth)
            depth--;
        if (depth > MQLUA_VALUE_DEPTH)
            return "nested deeper than 512 levels";
        if (values > VALUES)
            return "more than 2000000 values";
    }
    return NULL;
}

/* nil and a message, as decode returns them; columns count bytes here. */
static int refuse(lua_State *L, const char *text, size_t at, const char *message)
{
    int line = 1, column = 1;
    for (size_t i = 0; i < at; i++) {
        column = text[i] == '\n' ? 1 : column + 1;
        line += text[i] == '\n';
    }
    lua_pushnil(L);
    lua_pushfstring(L, "line %d, column %d: %s", line, column, message);
    return 2;
}

int mqlua_text_l_decode(lua_State *L)
{
    size_t size, at = 0, deepest = 0;
    const char *text = mqlua_bytes_check(L, 1, &size);
    mqlua_vm_charge(L, size);
    const char *foreign = mqlua_mark_foreign(text, size);
    if (foreign) {
        lua_pushnil(L);
        lua_pushfstring(L, "line 1, column 1: the text is %s: JSON is UTF-8", foreign);
        return 2;
    }
    size_t mark = mqlua_mark_size(text, size);
    text += mark;
    size -= mark;
    const char *refused = measure(text, size, &at, &deepest);
    if (refused)
        return refuse(L, text, at, refused);
    mqlua_stack_check_for(L, deepest * LEVEL_STACK);
    json_error_t error;
    json_t **owner = push_owner(L);
    locale_t locale = uselocale(mqlua_number_locale()); /* jansson reads numbers with strtod */
    *owner = json_loadb(size ? text : "", size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    uselocale(locale);
    if (!*owner) {
        lua_pushnil(L);
        lua_pushfstring(L, "line %d, column %d: %s", error.line, error.column, error.text);
        return 2;
    }
    push_value(L, *owner, &(mqlua_path){NULL, "text", 0, NULL, 0, NULL});
    json_decref(*owner); /* now, and not when it is collected: its memory is not counted */
    *owner = NULL;
    return 1;
}

void mqlua_json_open(lua_State *L)
{
    mqlua_value_open(L);
    mqlua_doc_open(L);
    luaL_newmetatable(L, owner_type);
    lua_pushcfunction(L, l_owner_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);

    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    lua_pushcfunction(L, mqlua_value_l_array);
    lua_setfield(L, -2, "array");
    lua_pushcfunction(L, mqlua_value_l_object);
    lua_setfield(L, -2, "object");
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, mqlua_text_l_decode);
    lua_setfield(L, -2, "decode");
    lua_pushcfunction(L, mqlua_encode_l_encode);
    lua_setfield(L, -2, "encode");
    lua_setfield(L, -2, "json");
}
