/* SPDX-License-Identifier: MIT */

/* mq.re.sub, gsub and split. */

#include "api/re_replace.h"
#include "api/re_call.h"
#include "base/ascii.h"
#include "vm/bytes.h"
#include "vm/stack.h"
#include "vm/text.h"

#include <string.h>

/* ---- replacements: "$1", "${1}", "${name}", "$0", "$$" ---- */

/* One piece: text as it is, or a group. */
typedef struct piece {
    const char *text;
    size_t size;
    uint32_t group; /* where text is NULL */
} piece;

static uint32_t group_of_name(const mqlua_regex *regex, const char *name, size_t size)
{
    const unsigned char *entry = regex->name_table;
    for (uint32_t i = 0; i < regex->names; i++, entry += regex->name_size)
        if (strlen((const char *)entry + 2) == size && memcmp(entry + 2, name, size) == 0)
            return (uint32_t)(entry[0] << 8 | entry[1]);
    return UINT32_MAX;
}

static uint32_t group_of(const mqlua_regex *regex, const char *name, size_t size)
{
    uint32_t number = 0;
    for (size_t i = 0; i < size; i++) {
        if (!mqlua_ascii_is_digit(name[i]))
            return group_of_name(regex, name, size);
        number = number * 10 + (uint32_t)(name[i] - '0');
        if (number > regex->groups)
            return UINT32_MAX;
    }
    return size ? number : UINT32_MAX;
}

/* The piece at text (size bytes, not 0) and how long it is; 0 where a $ means nothing. */
static size_t read_piece(const mqlua_regex *regex, const char *text, size_t size, piece *out)
{
    const char *dollar = memchr(text, '$', size);
    *out = (piece){.text = text, .size = dollar ? (size_t)(dollar - text) : size};
    if (dollar != text)
        return out->size;
    if (size > 1 && text[1] == '$') {
        out->size = 1;
        return 2;
    }
    bool braces = size > 1 && text[1] == '{';
    const char *name = text + 1 + braces;
    size_t left = size - 1 - braces, length = 0;
    if (braces) {
        const char *close = memchr(name, '}', left);
        length = close ? (size_t)(close - name) : 0;
    } else {
        while (length < left && mqlua_ascii_is_digit(name[length]))
            length++;
    }
    *out = (piece){.group = group_of(regex, name, length)};
    return out->group == UINT32_MAX ? 0 : 1 + length + 2 * braces;
}

static void check_template(lua_State *L, const mqlua_regex *regex, const char *text, size_t size)
{
    piece part;
    for (size_t at = 0, used; at < size; at += used) {
        mqlua_vm_charge(L, 10);
        used = read_piece(regex, text + at, size - at, &part);
        if (!used)
            luaL_error(
                L,
                "mq.re: the replacement has a $ at byte %d that is no group of the expression: write $$ "
                "for the character itself",
                (int)at + 1);
    }
}

static void add(mqlua_text *out, const char *data, size_t size)
{
    mqlua_vm_charge(out->L, 1 + size / 16);
    mqlua_text_add(out, data, size);
}

static void add_template(mqlua_text *out, const mqlua_re_call *call, const size_t *offsets)
{
    size_t size;
    piece part;
    const char *text = lua_tolstring(out->L, 3, &size);
    for (size_t at = 0; at < size;) {
        at += read_piece(call->regex, text + at, size - at, &part);
        const size_t *group = offsets + 2 * part.group;
        if (part.text)
            add(out, part.text, part.size);
        else if (group[0] != SIZE_MAX)
            add(out, call->text + group[0], group[1] - group[0]);
    }
}

/* Adds what the function at 3 returns; nil and false leave the match as it is. */
static void add_result(mqlua_text *out, const mqlua_re_call *call, const size_t *offsets)
{
    lua_State *L = out->L;
    size_t begin = offsets[0], size = offsets[1] - begin;
    lua_pushvalue(L, 3);
    mqlua_re_push_groups(L, call, offsets, 0);
    lua_call(L, 1, 1); /* which may search: offsets are of no use from here on */
    const char *text = call->text + begin;
    if (lua_toboolean(L, -1)) {
        if (!lua_isstring(L, -1))
            luaL_error(L, "mq.re: the function must return a text or nil, not a %s", luaL_typename(L, -1));
        text = lua_tolstring(L, -1, &size);
    }
    add(out, text, size);
    lua_pop(L, 1);
}

/* Returns how many matches were replaced, at most that many, or MQLUA_REGEX_LIMIT. */
static int replace(mqlua_text *out, const mqlua_re_call *call, bool all)
{
    bool function = lua_isfunction(out->L, 3);
    size_t copied = 0, next = 0;
    int count = 0;
    while (next <= call->size && (all || !count)) {
        const size_t *offsets;
        int found = mqlua_regex_search(out->L, call->regex, call->text, call->size, next, &offsets);
        if (found == MQLUA_REGEX_LIMIT)
            return found;
        if (found == MQLUA_REGEX_NONE)
            break;
        size_t begin = offsets[0], end = offsets[1];
        add(out, call->text + copied, begin - copied);
        if (function)
            add_result(out, call, offsets);
        else
            add_template(out, call, offsets);
        copied = end;
        next = mqlua_regex_next(call->regex, call->text, call->size, begin, end);
        count++;
    }
    add(out, call->text + copied, call->size - copied);
    return count;
}

/* sub and gsub: (text, regex, replacement, options) */
static int substitute(lua_State *L, bool all)
{
    lua_settop(L, 4);
    mqlua_re_call call = mqlua_re_begin(L, 4);
    if (lua_isfunction(L, 3)) {
        mqlua_stack_check(L);
    } else {
        size_t size;
        const char *text = luaL_checklstring(L, 3, &size);
        check_template(L, call.regex, text, size);
    }
    mqlua_text out;
    mqlua_text_init(&out, L);
    int count = replace(&out, &call, all);
    if (count == MQLUA_REGEX_LIMIT)
        return mqlua_re_push_limit(L, 2);
    mqlua_text_push(&out);
    lua_pushinteger(L, count);
    return 2;
}

int mqlua_re_sub(lua_State *L)
{
    return substitute(L, false);
}

int mqlua_re_gsub(lua_State *L)
{
    return substitute(L, true);
}

/* ---- split ---- */

static void add_part(lua_State *L, const mqlua_re_call *call, int into, int *count, size_t begin, size_t end)
{
    mqlua_vm_charge(L, 1 + (end - begin) / 16);
    lua_pushlstring(L, call->text + begin, end - begin);
    lua_rawseti(L, into, ++*count);
}

/* Empty matches at the beginning of a part split nothing. False on a limit. */
static bool split(lua_State *L, const mqlua_re_call *call, int into, size_t start, lua_Integer most)
{
    size_t begin = start, next = start;
    int parts = 1, count = 0;
    while (next < call->size && (most <= 0 || parts < most)) {
        const size_t *offsets;
        int found = mqlua_regex_search(L, call->regex, call->text, call->size, next, &offsets);
        if (found == MQLUA_REGEX_LIMIT)
            return false;
        if (found == MQLUA_REGEX_NONE || (offsets[0] == offsets[1] && offsets[0] == call->size))
            break;
        next = mqlua_regex_next(call->regex, call->text, call->size, offsets[0], offsets[1]);
        if (offsets[0] == offsets[1] && offsets[0] == begin)
            continue;
        add_part(L, call, into, &count, begin, offsets[0]);
        if (found > 1 && offsets[2] != SIZE_MAX)
            add_part(L, call, into, &count, offsets[2], offsets[3]);
        begin = offsets[1];
        parts++;
    }
    add_part(L, call, into, &count, begin, call->size);
    lua_pushnil(L); /* the table of the caller may have had more */
    lua_rawseti(L, into, count + 1);
    return true;
}

/* split(text, regex, options, ctx, most, into) */
int mqlua_re_split(lua_State *L)
{
    lua_settop(L, 6);
    mqlua_re_call call = mqlua_re_begin(L, 3);
    size_t start = mqlua_re_start(L, 4, &call);
    lua_Integer most = luaL_optinteger(L, 5, 0);
    if (lua_isnil(L, 6)) {
        lua_createtable(L, 4, 0);
        lua_replace(L, 6);
    }
    luaL_checktype(L, 6, LUA_TTABLE);
    if (start >= call.size) {
        lua_pushnil(L);
        lua_rawseti(L, 6, 1);
    } else if (!split(L, &call, 6, start, most)) {
        return mqlua_re_push_limit(L, 1);
    }
    lua_pushvalue(L, 6);
    return 1;
}
