/* SPDX-License-Identifier: MIT */
#include "vm/pattern.h"
#include "vm/bytes.h"
#include "vm/match.h"
#include "vm/stack.h"
#include "vm/text.h"
#include <string.h>

/* Pushes capture i of the match from s to end; the whole match stands for the first one if there is none. */
static void push_capture(mqlua_match *m, int i, const char *s, const char *end)
{
    if (i >= m->level) {
        if (i > 0)
            luaL_error(m->L, "invalid capture index");
        mqlua_match_count(m, (size_t)(end - s) / 16);
        lua_pushlstring(m->L, s, (size_t)(end - s));
        return;
    }
    ptrdiff_t size = m->capture[i].size;
    if (size == MQLUA_MATCH_OPEN)
        luaL_error(m->L, "unfinished capture");
    if (size == MQLUA_MATCH_POSITION) {
        lua_pushinteger(m->L, m->capture[i].at - m->begin + 1);
        return;
    }
    mqlua_match_count(m, (size_t)size / 16);
    lua_pushlstring(m->L, m->capture[i].at, (size_t)size);
}

/* Pushes all captures and returns their number; whole tells whether a match without any counts as one. */
static int push_captures(mqlua_match *m, const char *s, const char *end, bool whole)
{
    int count = m->level == 0 && whole ? 1 : m->level;
    luaL_checkstack(m->L, count, "too many captures");
    for (int i = 0; i < count; i++)
        push_capture(m, i, s, end);
    return count;
}

/* The offset that an optional start at index stands for: 0 to size. */
static size_t start_offset(lua_State *L, int index, size_t size)
{
    lua_Integer start = luaL_optinteger(L, index, 1);
    if (start < 0)
        start += (lua_Integer)size;
    else
        start--;
    if (start < 0)
        return 0;
    return (size_t)start > size ? size : (size_t)start;
}

/* Pattern items begin with one of these; text without them is searched as it is, zero bytes included. */
static bool is_plain(const char *pattern, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (pattern[i] && strchr("^$*+?.([%-", pattern[i]))
            return false;
    return true;
}

/* memmem in pieces, so that it can be stopped in the middle of megabytes. */
static const char *find_hard(lua_State *L, const char *s, const char *stop, const char *what, size_t length)
{
    size_t piece = length < 16384 ? 65536 : 4 * length;
    while (s < stop) {
        size_t starts = (size_t)(stop - s) < piece ? (size_t)(stop - s) : piece;
        const char *at = memmem(s, starts + length - 1, what, length);
        mqlua_vm_charge(L, 1 + ((at ? (size_t)(at - s) : starts) + length) / 8);
        if (at)
            return at;
        s += starts;
    }
    return NULL;
}

/* The first bytes are looked for with memchr, which is much faster in ordinary text; where they turn up
 * often in vain, memmem keeps the time proportional to the size. */
static const char *find_plain(lua_State *L, const char *s, size_t size, const char *what, size_t length)
{
    if (length > size)
        return NULL;
    if (length == 0)
        return s;
    const char *stop = s + size - length + 1, *from = s;
    if (length > 256)
        return find_hard(L, s, stop, what, length);
    for (int tries = 0; s < stop; tries++) {
        if (tries > 32 && (s - from) / tries < 64)
            return find_hard(L, s, stop, what, length);
        const char *at = memchr(s, what[0], (size_t)(stop - s));
        mqlua_vm_charge(L, 1 + ((size_t)((at ? at : stop) - s) + length) / 16);
        if (!at)
            return NULL;
        if (!memcmp(at, what, length))
            return at;
        s = at + 1;
    }
    return NULL;
}

static int push_plain(lua_State *L, const char *s, size_t size, size_t start, const char *what, size_t length)
{
    const char *at = find_plain(L, s + start, size - start, what, length);
    if (!at) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, at - s + 1);
    lua_pushinteger(L, at - s + (ptrdiff_t)length);
    return 2;
}

static int search(lua_State *L, bool find)
{
    size_t size, length;
    const char *s = mqlua_bytes_check(L, 1, &size);
    const char *p = luaL_checklstring(L, 2, &length);
    size_t start = start_offset(L, 3, size);
    if (find && (lua_toboolean(L, 4) || is_plain(p, length)))
        return push_plain(L, s, size, start, p, length);
    mqlua_match m;
    mqlua_match_init(&m, L, s, size);
    const char *end, *at = s + start;
    if (*p == '^') {
        end = mqlua_match_here(&m, at, p + 1);
        at = end ? at : NULL;
    } else {
        at = mqlua_match_search(&m, at, p, &end);
    }
    int count = 0;
    if (!at) {
        lua_pushnil(L);
        count = 1;
    } else {
        if (find) {
            lua_pushinteger(L, at - s + 1);
            lua_pushinteger(L, end - s);
            count = 2;
        }
        count += push_captures(&m, at, end, !find);
    }
    mqlua_match_finish(&m);
    return count;
}

int mqlua_pattern_find(lua_State *L)
{
    return search(L, true);
}

int mqlua_pattern_match(lua_State *L)
{
    return search(L, false);
}

/* The iterator of gmatch. Upvalues: subject, pattern, offset. The subject may be a buffer that died since. */
static int gmatch_next(lua_State *L)
{
    size_t size;
    const char *s;
    if (lua_type(L, lua_upvalueindex(1)) == LUA_TSTRING)
        s = lua_tolstring(L, lua_upvalueindex(1), &size);
    else
        s = mqlua_bytes_check(L, lua_upvalueindex(1), &size);
    const char *p = lua_tostring(L, lua_upvalueindex(2));
    size_t start = (size_t)lua_tointeger(L, lua_upvalueindex(3));
    if (start > size)
        return 0;
    mqlua_match m;
    mqlua_match_init(&m, L, s, size);
    const char *end, *at = mqlua_match_search(&m, s + start, p, &end);
    /* an empty match must not be found again */
    size_t next = at ? (size_t)(end - s) + (end == at) : size + 1;
    lua_pushinteger(L, (lua_Integer)next);
    lua_replace(L, lua_upvalueindex(3));
    int count = at ? push_captures(&m, at, end, true) : 0;
    mqlua_match_finish(&m);
    return count;
}

int mqlua_pattern_gmatch(lua_State *L)
{
    size_t size;
    mqlua_bytes_check(L, 1, &size);
    luaL_checkstring(L, 2);
    lua_settop(L, 2);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, gmatch_next, 3);
    return 1;
}

static void add_capture(mqlua_match *m, mqlua_text *out, int i, const char *s, const char *end)
{
    if (i < m->level && m->capture[i].size >= 0) {
        mqlua_match_count(m, (size_t)m->capture[i].size / 16);
        mqlua_text_add(out, m->capture[i].at, (size_t)m->capture[i].size);
        return;
    }
    size_t size;
    push_capture(m, i, s, end);
    const char *capture = lua_tolstring(m->L, -1, &size);
    mqlua_text_add(out, capture, size);
    lua_pop(m->L, 1);
}

/* Adds the replacement text at index 3 with its %0 to %9 filled in. */
static void add_text(mqlua_match *m, mqlua_text *out, const char *s, const char *end)
{
    size_t size;
    const char *text = lua_tolstring(m->L, 3, &size);
    for (size_t i = 0; i < size; i++) {
        const char *percent = memchr(text + i, '%', size - i);
        size_t plain = percent ? (size_t)(percent - text) - i : size - i;
        mqlua_match_count(m, 1 + plain / 16);
        mqlua_text_add(out, text + i, plain);
        i += plain + 1;
        if (!percent)
            return;
        char letter = text[i]; /* the zero that ends every string, when the % is the last byte */
        if (letter == '0') {
            mqlua_match_count(m, (size_t)(end - s) / 16);
            mqlua_text_add(out, s, (size_t)(end - s));
        } else if (letter >= '1' && letter <= '9') {
            add_capture(m, out, letter - '1', s, end);
        } else {
            mqlua_text_add(out, &letter, 1);
        }
    }
}

/* Adds what the function or table at index 3 has for a match. */
static void add_result(mqlua_match *m, mqlua_text *out, const char *s, const char *end)
{
    lua_State *L = m->L;
    if (lua_type(L, 3) == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(m, s, end, true), 1);
    } else {
        push_capture(m, 0, s, end);
        lua_gettable(L, 3);
    }
    size_t size = (size_t)(end - s);
    const char *text = s;
    if (lua_toboolean(L, -1)) {
        if (!lua_isstring(L, -1))
            luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
        text = lua_tolstring(L, -1, &size);
    }
    mqlua_match_count(m, size / 16);
    mqlua_text_add(out, text, size);
    lua_pop(L, 1);
}

/* Replaces up to most matches from s on and returns how many. */
static int replace(mqlua_match *m, mqlua_text *out, const char *p, int most, bool plain)
{
    bool anchored = *p == '^';
    const char *s = m->begin;
    int count = 0;
    p += anchored;
    while (count < most) {
        const char *end, *at;
        m->level = m->depth = 0;
        if (anchored)
            at = (end = mqlua_match_here(m, s, p)) ? s : NULL;
        else
            at = mqlua_match_search(m, s, p, &end);
        if (!at)
            break;
        mqlua_match_count(m, (size_t)(at - s) / 16);
        mqlua_text_add(out, s, (size_t)(at - s));
        count++;
        if (plain)
            add_text(m, out, at, end);
        else
            add_result(m, out, at, end);
        s = end;
        if (end == at) { /* an empty match: go on behind the next byte */
            if (s == m->end)
                break;
            mqlua_text_add(out, s++, 1);
        }
        if (anchored)
            break;
    }
    mqlua_match_count(m, (size_t)(m->end - s) / 16);
    mqlua_text_add(out, s, (size_t)(m->end - s));
    return count;
}

int mqlua_pattern_gsub(lua_State *L)
{
    size_t size;
    const char *s = mqlua_bytes_check(L, 1, &size);
    const char *p = luaL_checkstring(L, 2);
    int type = lua_type(L, 3);
    lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)size + 1);
    if (type != LUA_TNUMBER && type != LUA_TSTRING && type != LUA_TFUNCTION && type != LUA_TTABLE)
        luaL_argerror(L, 3, "string/function/table expected");
    bool plain = type == LUA_TNUMBER || type == LUA_TSTRING;
    if (!plain)
        mqlua_stack_check(L);
    if (most > (lua_Integer)size + 1)
        most = (lua_Integer)size + 1;
    mqlua_match m;
    mqlua_match_init(&m, L, s, size);
    mqlua_text out;
    mqlua_text_init(&out, L);
    int count = replace(&m, &out, p, (int)most, plain);
    mqlua_text_push(&out);
    mqlua_match_finish(&m);
    lua_pushinteger(L, count);
    return 2;
}

void mqlua_pattern_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"find", mqlua_pattern_find},    {"match", mqlua_pattern_match}, {"gmatch", mqlua_pattern_gmatch},
        {"gfind", mqlua_pattern_gmatch}, {"gsub", mqlua_pattern_gsub},   {NULL, NULL},
    };
    lua_getglobal(L, LUA_STRLIBNAME);
    luaL_checktype(L, -1, LUA_TTABLE);
    for (const luaL_Reg *f = functions; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }
    lua_pop(L, 1);
}
