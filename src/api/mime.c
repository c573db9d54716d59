/* SPDX-License-Identifier: MIT */

#include "api/mime.h"
#include "api/message.h"
#include "api/mime_work.h"
#include "base/ascii.h"
#include "base/utf8.h"
#include "vm/bytes.h"

#include <stdlib.h>
#include <string.h>

/* ---- arguments ---- */

/* The bytes of the value at index from the offset in the next argument to that in the one after; both may be
 * nil. */
static const char *check_range(lua_State *L, int index, size_t *size)
{
    size_t whole;
    const char *data = mqlua_bytes_check(L, index, &whole);
    double from = luaL_optnumber(L, index + 1, 0), to = luaL_optnumber(L, index + 2, (double)whole);
    size_t begin = from > 0 && from < (double)whole ? (size_t)from : from > 0 ? whole : 0;
    size_t end = to < (double)whole ? (to > 0 ? (size_t)to : 0) : whole;
    *size = end > begin ? end - begin : 0;
    return data + begin;
}

static mqlua_mime_encoding check_encoding(lua_State *L, int index)
{
    static const char *const names[] = {"plain", "base64", "quoted-printable", "uuencode", NULL};
    return (mqlua_mime_encoding)luaL_checkoption(L, index, "plain", names);
}

/* ---- scan ---- */

static void run_scan(mqlua_work *work)
{
    work->result = mqlua_mime_scan(&work->mime, work->library, &work->limits, work->data, work->size);
}

static int push_failure(lua_State *L, const mqlua_work *work)
{
    char text[160];
    const mqlua_mime_limits *limits = &work->limits;
    const struct {
        const char *format;
        size_t limit;
    } failures[] = {
        [MQLUA_MIME_MEMORY] = {"not enough memory", 0},
        [MQLUA_MIME_TOO_LARGE] = {"the message has more than %zu bytes (mime.bytes in the settings)",
                                  limits->bytes},
        [MQLUA_MIME_TOO_MANY_PARTS] = {"the message has more than %zu parts (mime.parts in the settings)",
                                       limits->parts},
        [MQLUA_MIME_TOO_DEEP] = {"parts of the message are more than %zu deep (mime.depth in the settings)",
                                 limits->depth},
        [MQLUA_MIME_TOO_MANY_HEADERS] = {"the message has more than %zu header fields (mime.headers in the "
                                         "settings)",
                                         limits->headers},
        [MQLUA_MIME_FIELD_TOO_LARGE] =
            {"a header field of the message has more than %zu bytes (mime.field in "
             "the settings)",
             limits->field},
    };
    snprintf(text, sizeof text, failures[work->result].format, failures[work->result].limit);
    lua_pushnil(L);
    lua_pushstring(L, text);
    lua_pushstring(L, work->result == MQLUA_MIME_MEMORY ? "memory" : "limit");
    return 3;
}

static void set_size(lua_State *L, const char *name, size_t value)
{
    lua_pushnumber(L, (double)value);
    lua_setfield(L, -2, name);
}

/* The parameters as a table of the part on top; the first of a name counts. */
static void set_parameters(lua_State *L, const char *name, const mqlua_texts *texts)
{
    const char *text = texts->data;
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
    lua_pushfstring(L, "%s_parameters", name);
    lua_newtable(L);
    for (size_t i = 1; i + 1 < texts->count; i += 2) {
        const char *key = mqlua_texts_next(text), *value = mqlua_texts_next(key);
        lua_pushstring(L, key);
        lua_pushvalue(L, -1);
        lua_rawget(L, -3);
        if (lua_isnil(L, -1)) {
            lua_pop(L, 1);
            lua_pushstring(L, value);
            lua_rawset(L, -3);
        } else {
            lua_pop(L, 2);
        }
        text = value;
    }
    lua_rawset(L, -3);
}

static void push_part(lua_State *L, const mqlua_mime_part *part)
{
    static const char *const kinds[] = {"leaf", "multipart", "message"};
    static const char *const encodings[] = {"plain", "base64", "quoted-printable", "uuencode"};
    lua_createtable(L, 0, 16);
    lua_pushstring(L, kinds[part->kind]);
    lua_setfield(L, -2, "kind");
    lua_pushstring(L, encodings[part->encoding]);
    lua_setfield(L, -2, "encoding");
    if (part->parent >= 0)
        set_size(L, "parent", (size_t)part->parent + 1);
    set_size(L, "line", part->line);
    set_size(L, "header", part->header);
    set_size(L, "body", part->body);
    set_size(L, "stop", part->end);
    set_size(L, "next", part->next);
    set_size(L, "close", part->close);
    lua_pushboolean(L, part->closed);
    lua_setfield(L, -2, "closed");
    if (part->type.count)
        set_parameters(L, "type", &part->type);
    if (part->disposition.count)
        set_parameters(L, "disposition", &part->disposition);
}

static int push_parts(lua_State *L, mqlua_work *work)
{
    if (work->result != MQLUA_MIME_OK)
        return push_failure(L, work);
    mqlua_vm_charge(L, work->mime.count * 100);
    lua_createtable(L, (int)work->mime.count, 0);
    for (size_t i = 0; i < work->mime.count; i++) {
        push_part(L, &work->mime.parts[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

/* scan(bytes): a list of parts, or nil, message, code. May wait. */
static int l_scan(lua_State *L)
{
    mqlua_bytes_check(L, 1, &(size_t){0});
    lua_settop(L, 1);
    mqlua_work *work = mqlua_work_new(L);
    work->data = mqlua_bytes_check(L, 1, &work->size);
    work->run = run_scan;
    work->push = push_parts;
    if (work->size > work->limits.bytes) { /* not to be copied first */
        work->result = MQLUA_MIME_TOO_LARGE;
        return push_failure(L, work);
    }
    return mqlua_work_do(L, work);
}

/* ---- bodies ---- */

static bool decode(mqlua_work *work)
{
    if (work->encoding == MQLUA_MIME_PLAIN)
        return true;
    work->out = malloc(work->library->decoded_room(work->encoding, work->size));
    if (!work->out)
        return false;
    work->out_size = work->library->decode(work->encoding, work->data, work->size, work->out);
    return true;
}

static void run_decode(mqlua_work *work)
{
    work->result = decode(work) ? MQLUA_MIME_OK : MQLUA_MIME_MEMORY;
}

static int push_out(lua_State *L, mqlua_work *work)
{
    if (work->result != MQLUA_MIME_OK)
        return push_failure(L, work);
    if (work->out)
        lua_pushlstring(L, work->out, work->out_size);
    else
        lua_pushlstring(L, work->data, work->size);
    return 1;
}

static int push_out_size(lua_State *L, mqlua_work *work)
{
    if (work->result != MQLUA_MIME_OK)
        return push_failure(L, work);
    lua_pushnumber(L, (double)(work->out ? work->out_size : work->size));
    return 1;
}

static int do_range(lua_State *L, void (*run)(mqlua_work *), int (*push)(lua_State *, mqlua_work *),
                    const char *charset)
{
    size_t size;
    const char *data = check_range(L, 1, &size);
    mqlua_mime_encoding encoding = check_encoding(L, 4);
    mqlua_work *work = mqlua_work_new(L);
    work->data = data;
    work->size = size;
    work->encoding = encoding;
    work->run = run;
    work->push = push;
    snprintf(work->charset, sizeof work->charset, "%s", charset);
    return mqlua_work_do(L, work);
}

/* decode(bytes, from, to, encoding): a string, or nil, message, code. May wait. */
static int l_decode(lua_State *L)
{
    return do_range(L, run_decode, push_out, "");
}

/* decoded_size(bytes, from, to, encoding): how many bytes decode would give. May wait. */
static int l_decoded_size(lua_State *L)
{
    return do_range(L, run_decode, push_out_size, "");
}

/* Charsets whose texts are UTF-8 if they can be, because many say what is not so; or else windows-1252. */
static bool is_vague(const char *charset)
{
    static const char *const names[] = {"",      "utf-8",        "utf8",      "us-ascii",
                                        "ascii", "unknown-8bit", "x-unknown", "default"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (mqlua_ascii_equal(names[i], charset))
            return true;
    return false;
}

static mqlua_mime_result convert(mqlua_work *work, const char *in, size_t size, char **out, size_t *out_size)
{
    bool memory, vague = is_vague(work->charset);
    if (vague && mqlua_utf8_is(in, size))
        return MQLUA_MIME_OK;
    if (mqlua_ascii_equal(work->charset, "utf-8") || mqlua_ascii_equal(work->charset, "utf8")) {
        *out_size = mqlua_utf8_clean(NULL, in, size);
        *out = malloc(*out_size + 1);
        if (!*out)
            return MQLUA_MIME_MEMORY;
        mqlua_utf8_clean(*out, in, size);
        return MQLUA_MIME_OK;
    }
    if (!vague && work->library->convert("utf-8", work->charset, in, size, out, out_size, &memory))
        return MQLUA_MIME_OK;
    if (!vague && memory)
        return MQLUA_MIME_MEMORY;
    if (!vague && mqlua_utf8_is(in, size)) /* a charset that nobody knows */
        return MQLUA_MIME_OK;
    return work->library->convert("utf-8", "windows-1252", in, size, out, out_size, &memory)
               ? MQLUA_MIME_OK
               : MQLUA_MIME_MEMORY;
}

static void run_text(mqlua_work *work)
{
    char *converted = NULL;
    size_t size = 0;
    work->result = decode(work) ? MQLUA_MIME_OK : MQLUA_MIME_MEMORY;
    if (work->result != MQLUA_MIME_OK)
        return;
    work->result = convert(work, work->out ? work->out : work->data, work->out ? work->out_size : work->size,
                           &converted, &size);
    if (!converted)
        return;
    free(work->out);
    work->out = converted;
    work->out_size = size;
}

/* text(bytes, from, to, encoding, charset): UTF-8, or nil, message, code. May wait. */
static int l_text(lua_State *L)
{
    return do_range(L, run_text, push_out, luaL_optstring(L, 5, ""));
}

/* ---- DKIM ---- */

/* The body as DKIM hashes it (RFC 6376, 3.4.3 and 3.4.4). Lines
 * that end with LF alone count as if they ended with CRLF, so out has room for twice the size. */
static size_t canonical(const char *in, size_t size, bool relaxed, char *out)
{
    size_t at = 0, made = 0, kept = 0; /* kept: up to the end of the last line that is not empty */
    while (at < size) {
        const char *lf = memchr(in + at, '\n', size - at);
        size_t end = lf ? (size_t)(lf - in) : size, next = lf ? end + 1 : size;
        size_t begin = made;
        if (lf && end > at && in[end - 1] == '\r')
            end--;
        for (; at < end; at++) {
            bool blank = relaxed && (in[at] == ' ' || in[at] == '\t');
            if (!blank)
                out[made++] = in[at];
            else if (made == begin || out[made - 1] != ' ')
                out[made++] = ' ';
        }
        if (relaxed && made > begin && out[made - 1] == ' ')
            made--;
        bool empty = made == begin;
        out[made++] = '\r';
        out[made++] = '\n';
        if (!empty)
            kept = made;
        at = next;
    }
    if (!kept && !relaxed) { /* an empty body is one line end */
        memcpy(out, "\r\n", 2);
        return 2;
    }
    return kept;
}

static void run_canonical(mqlua_work *work)
{
    work->out = malloc(work->size * 2 + 4);
    work->result = work->out ? MQLUA_MIME_OK : MQLUA_MIME_MEMORY;
    if (work->out)
        work->out_size = canonical(work->data, work->size, work->charset[0] == 'r', work->out);
}

/* canonical(bytes, from, to, nil, "relaxed" or "simple"): a string, or nil, message, code. May wait. */
static int l_canonical(lua_State *L)
{
    return do_range(L, run_canonical, push_out, luaL_checkstring(L, 5));
}

/* ---- for edits ---- */

/* recode(text, charset): the text in that charset, or nil where it cannot be expressed. */
static int l_recode(lua_State *L)
{
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size), *charset = luaL_checkstring(L, 2);
    bool memory = false;
    mqlua_work *work = mqlua_work_new(L);
    mqlua_vm_charge(L, size);
    if (!work->library->convert(charset, "utf-8", text, size, &work->out, &work->out_size, &memory)) {
        if (memory)
            return luaL_error(L, "not enough memory");
        lua_pushnil(L);
        return 1;
    }
    lua_pushlstring(L, work->out, work->out_size);
    return 1;
}

/* encode(bytes, encoding): with lines that end with LF. */
static int l_encode(lua_State *L)
{
    size_t size;
    const char *bytes = luaL_checklstring(L, 1, &size);
    mqlua_mime_encoding encoding = check_encoding(L, 2);
    mqlua_work *work = mqlua_work_new(L);
    mqlua_vm_charge(L, size);
    work->out = malloc(work->library->encoded_room(encoding, size));
    if (!work->out)
        return luaL_error(L, "not enough memory");
    work->out_size = work->library->encode(encoding, bytes, size, work->out);
    lua_pushlstring(L, work->out, work->out_size);
    return 1;
}

/* splice(bytes, list): a buffer of bytes where for each three values of list, {from, to, text, ...}, text
 * takes the place of the bytes between the offsets. They are in order and do not overlap. */
static int l_splice(lua_State *L)
{
    size_t size, at = 0, total, added;
    const char *bytes = mqlua_bytes_check(L, 1, &size);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    total = size;
    int count = (int)lua_objlen(L, 2) / 3;
    for (int i = 0; i < count; i++) {
        lua_rawgeti(L, 2, i * 3 + 1);
        lua_rawgeti(L, 2, i * 3 + 2);
        lua_rawgeti(L, 2, i * 3 + 3);
        size_t from = (size_t)luaL_checknumber(L, 3), to = (size_t)luaL_checknumber(L, 4);
        luaL_checklstring(L, 5, &added);
        if (from < at || to < from || to > size || added > SIZE_MAX / 4 - total)
            return luaL_error(L, "edits overlap");
        total = total - (to - from) + added;
        at = to;
        lua_settop(L, 2);
    }
    mqlua_vm_charge(L, total / 4);
    char *out = mqlua_bytes_push_room(L, total);
    at = 0;
    for (int i = 0; i < count; i++) {
        lua_rawgeti(L, 2, i * 3 + 1);
        lua_rawgeti(L, 2, i * 3 + 2);
        lua_rawgeti(L, 2, i * 3 + 3);
        size_t from = (size_t)lua_tonumber(L, 4), to = (size_t)lua_tonumber(L, 5);
        const char *text = lua_tolstring(L, 6, &added);
        memcpy(out, bytes + at, from - at);
        memcpy(out + (from - at), text, added);
        out += from - at + added;
        at = to;
        lua_settop(L, 3);
    }
    memcpy(out, bytes + at, size - at);
    return 1;
}

void mqlua_mime_push(lua_State *L)
{
    static const luaL_Reg functions[] = {{"scan", l_scan},
                                         {"decode", l_decode},
                                         {"decoded_size", l_decoded_size},
                                         {"text", l_text},
                                         {"recode", l_recode},
                                         {"encode", l_encode},
                                         {"splice", l_splice},
                                         {"set_mime", mqlua_message_l_set_mime},
                                         {"canonical", l_canonical},
                                         {NULL, NULL}};
    mqlua_work_open(L);
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    mqlua_mime_push_fields(L);
}
