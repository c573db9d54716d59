/* SPDX-License-Identifier: MIT */

#include "api/headers.h"
#include "base/ascii.h"
#include "vm/bytes.h"
#include <string.h>

typedef struct field {
    const char *name, *value; /* value: from behind the colon to the end of the last line, folds included */
    size_t name_size, value_size;
} field;

static const char *line_end(const char *at, const char *end)
{
    const char *lf = memchr(at, '\n', (size_t)(end - at));
    return lf ? lf + 1 : end;
}

static bool is_fold(const char *at, const char *end)
{
    return at < end && (*at == ' ' || *at == '\t');
}

static bool is_empty_line(const char *at, const char *end)
{
    return at == end || *at == '\n' || (*at == '\r' && (at + 1 == end || at[1] == '\n'));
}

/* The field at *at, which moves behind it; false at the end of the header. A line without a colon is skipped.
 */
static bool next_field(const char **at, const char *end, field *f)
{
    while (!is_empty_line(*at, end)) {
        const char *start = *at, *stop = line_end(start, end);
        while (is_fold(stop, end))
            stop = line_end(stop, end);
        *at = stop;
        const char *colon = memchr(start, ':', (size_t)(stop - start));
        if (!colon)
            continue;
        *f = (field){start, colon + 1, (size_t)(colon - start), (size_t)(stop - colon - 1)};
        while (f->name_size && (start[f->name_size - 1] == ' ' || start[f->name_size - 1] == '\t'))
            f->name_size--;
        return true;
    }
    return false;
}

static void trim(field *f)
{
    while (f->value_size && strchr(" \t\r\n", f->value[0]) && f->value[0])
        f->value++, f->value_size--;
    while (f->value_size && strchr(" \t\r\n", f->value[f->value_size - 1]) && f->value[f->value_size - 1])
        f->value_size--;
}

/* Unfolding (RFC 5322, 2.2.3) takes away the line ends and leaves the white space that follows. */
static void push_unfolded(lua_State *L, field *f)
{
    luaL_Buffer buffer;
    trim(f);
    mqlua_vm_charge(L, f->value_size);
    luaL_buffinit(L, &buffer);
    for (const char *at = f->value, *end = at + f->value_size; at < end;) {
        const char *stop = at;
        while (stop < end && *stop != '\r' && *stop != '\n')
            stop++;
        luaL_addlstring(&buffer, at, (size_t)(stop - at));
        at = stop;
        while (at < end && (*at == '\r' || *at == '\n'))
            at++;
    }
    luaL_pushresult(&buffer);
}

bool mqlua_headers_push(lua_State *L, const char *mime, size_t size, const char *name, int number)
{
    const char *at = mime, *end = mime + size;
    size_t name_size = strlen(name);
    field f;
    while (next_field(&at, end, &f)) {
        mqlua_vm_charge(L, f.name_size + f.value_size);
        if (f.name_size != name_size || !mqlua_ascii_same(f.name, name, name_size) || --number > 0)
            continue;
        push_unfolded(L, &f);
        return true;
    }
    return false;
}

void mqlua_headers_push_all(lua_State *L, const char *mime, size_t size)
{
    const char *at = mime, *end = mime + size;
    int count = 0;
    field f;
    lua_newtable(L);
    while (next_field(&at, end, &f)) {
        lua_createtable(L, 0, 2);
        lua_pushlstring(L, f.name, f.name_size);
        lua_setfield(L, -2, "name");
        push_unfolded(L, &f);
        lua_setfield(L, -2, "value");
        lua_rawseti(L, -2, ++count);
    }
}

/* ---- MIME that a policy writes ---- */

/* How many line ends lack their CR; -1 when a CR lacks its LF. */
static long count_bare(const char *bytes, size_t size)
{
    long bare = 0;
    const char *end = bytes + size;
    for (const char *at = bytes; (at = memchr(at, '\n', (size_t)(end - at))); at++)
        bare += at == bytes || at[-1] != '\r';
    for (const char *at = bytes; (at = memchr(at, '\r', (size_t)(end - at))); at++)
        if (at + 1 == end || at[1] != '\n')
            return -1;
    return bare;
}

static void push_crlf(lua_State *L, const char *bytes, size_t size)
{
    luaL_Buffer buffer;
    luaL_buffinit(L, &buffer);
    for (const char *at = bytes, *end = bytes + size; at < end;) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        size_t line = lf ? (size_t)(lf - at) : (size_t)(end - at);
        luaL_addlstring(&buffer, at, line);
        if (lf)
            luaL_addlstring(&buffer, line && at[line - 1] == '\r' ? "\n" : "\r\n",
                            line && at[line - 1] == '\r' ? 1 : 2);
        at += line + (lf != NULL);
    }
    luaL_pushresult(&buffer);
}

void mqlua_headers_check_mime(lua_State *L, int index)
{
    const char *bytes;
    size_t size;
    if (!mqlua_bytes_to(L, index, &bytes, &size))
        luaL_error(L, "mime must be a string or a buffer, got %s", luaL_typename(L, index));
    mqlua_vm_charge(L, size);
    long bare = count_bare(bytes, size);
    if (bare < 0)
        luaL_error(L, "mime has a CR without LF: lines must end with CRLF (or LF, which is converted)");
    if (bare) {
        push_crlf(L, bytes, size);
        lua_replace(L, index);
        bytes = lua_tolstring(L, index, &size);
    }
    if (memchr(bytes, 0, size))
        luaL_error(L, "mime has a NUL byte");
    if (!memmem(bytes, size, "\r\n\r\n", 4) || is_empty_line(bytes, bytes + size))
        luaL_error(L, "mime must be a whole message: header fields, an empty line, and the body");
}
