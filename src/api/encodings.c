/* SPDX-License-Identifier: MIT */

#include "api/encodings.h"
#include "api/option.h"
#include "base/encoding.h"
#include "vm/bytes.h"
#include "vm/text.h"
#include "vm/vm.h"

/* Bytes between two looks at the budget: a multiple of 3. */
enum { PIECE = 12 * 1024 };

static size_t piece_of(lua_State *L, size_t at, size_t size)
{
    size_t piece = size - at < PIECE ? size - at : PIECE;
    mqlua_vm_charge(L, 1 + piece);
    return piece;
}

static int push_wrong(lua_State *L, const char *what, size_t at)
{
    lua_pushnil(L);
    lua_pushfstring(L, "byte %d is no %s", (int)at + 1, what);
    return 2;
}

static int encode_base64(lua_State *L, bool url, bool pad)
{
    size_t size;
    const char *data = mqlua_bytes_check(L, 1, &size);
    mqlua_text text;
    mqlua_text_init(&text, L);
    for (size_t at = 0, piece; at < size; at += piece) {
        piece = piece_of(L, at, size);
        size_t room = (piece + 2) / 3 * 4;
        char *out = mqlua_text_room(&text, room);
        text.size -= room - mqlua_base64_encode(out, data + at, piece, url, pad);
    }
    mqlua_text_push(&text);
    return 1;
}

static int decode_base64(lua_State *L, const char *name, bool url)
{
    size_t size;
    const char *data = mqlua_bytes_check(L, 1, &size);
    mqlua_base64 state = {.url = url};
    mqlua_text text;
    mqlua_text_init(&text, L);
    for (size_t at = 0, piece, written; at < size; at += piece) {
        piece = piece_of(L, at, size);
        char *out = mqlua_text_room(&text, piece);
        size_t stopped = mqlua_base64_decode(&state, out, &written, data + at, piece);
        if (stopped < piece)
            return push_wrong(L, name, at + stopped);
        text.size -= piece - written;
    }
    if (!mqlua_base64_ends(&state)) {
        lua_pushnil(L);
        lua_pushfstring(L, "the %s is cut off or has surplus bits", name);
        return 2;
    }
    mqlua_text_push(&text);
    return 1;
}

static int l_base64_encode(lua_State *L)
{
    return encode_base64(L, false, true);
}

static int l_base64_decode(lua_State *L)
{
    return decode_base64(L, "base64", false);
}

static int l_base64url_encode(lua_State *L)
{
    return encode_base64(L, true, mqlua_option_flag(L, 2, "mq.base64url.encode", "pad"));
}

static int l_base64url_decode(lua_State *L)
{
    return decode_base64(L, "base64url", true);
}

static int l_hex_encode(lua_State *L)
{
    size_t size;
    const char *data = mqlua_bytes_check(L, 1, &size);
    mqlua_text text;
    mqlua_text_init(&text, L);
    for (size_t at = 0, piece; at < size; at += piece) {
        piece = piece_of(L, at, size);
        mqlua_hex_encode(mqlua_text_room(&text, 2 * piece), data + at, piece);
    }
    mqlua_text_push(&text);
    return 1;
}

static int l_hex_decode(lua_State *L)
{
    size_t size;
    const char *data = mqlua_bytes_check(L, 1, &size);
    mqlua_text text;
    if (size % 2) {
        lua_pushnil(L);
        lua_pushliteral(L, "the number of hexadecimal digits is odd");
        return 2;
    }
    mqlua_text_init(&text, L);
    for (size_t at = 0, piece; at < size; at += piece) {
        piece = piece_of(L, at, size);
        size_t stopped = mqlua_hex_decode(mqlua_text_room(&text, piece / 2), data + at, piece);
        if (stopped < piece)
            return push_wrong(L, "hexadecimal digit", at + stopped);
    }
    mqlua_text_push(&text);
    return 1;
}

static int l_qp_encode(lua_State *L)
{
    size_t size, column = 0;
    const char *data = mqlua_bytes_check(L, 1, &size);
    bool binary = mqlua_option_flag(L, 2, "mq.quoted_printable.encode", "binary");
    mqlua_text text;
    mqlua_text_init(&text, L);
    for (size_t at = 0, used; at < size; at += used) {
        mqlua_vm_charge(L, 4);
        char *out = mqlua_text_room(&text, 6);
        text.size -= 6 - mqlua_qp_encode(out, data, size, at, &column, binary, &used);
    }
    mqlua_text_push(&text);
    return 1;
}

static int l_qp_decode(lua_State *L)
{
    size_t size;
    const char *data = mqlua_bytes_check(L, 1, &size);
    mqlua_text text;
    mqlua_text_init(&text, L);
    char *begin = mqlua_text_room(&text, size), *out = begin;
    for (size_t at = 0, used; at < size; at += used) {
        out += mqlua_qp_decode(out, data, size, at, &used);
        mqlua_vm_charge(L, 2 + used / 8);
    }
    text.size -= size - (size_t)(out - begin);
    mqlua_text_push(&text);
    return 1;
}

static int l_url_encode(lua_State *L)
{
    size_t size;
    const char *data = mqlua_bytes_check(L, 1, &size);
    bool form = mqlua_option_flag(L, 2, "mq.url.encode", "form");
    mqlua_text text;
    mqlua_text_init(&text, L);
    for (size_t at = 0, piece; at < size; at += piece) {
        piece = piece_of(L, at, size);
        char *out = mqlua_text_room(&text, 3 * piece);
        text.size -= 3 * piece - mqlua_url_encode(out, data + at, piece, form);
    }
    mqlua_text_push(&text);
    return 1;
}

static int l_url_decode(lua_State *L)
{
    size_t size;
    const char *data = mqlua_bytes_check(L, 1, &size);
    bool form = mqlua_option_flag(L, 2, "mq.url.decode", "form");
    mqlua_text text;
    mqlua_text_init(&text, L);
    char *begin = mqlua_text_room(&text, size), *out = begin;
    for (size_t at = 0, used; at < size; at += used) {
        *out++ = mqlua_url_decode(data, size, at, form, &used);
        mqlua_vm_charge(L, 2);
    }
    text.size -= size - (size_t)(out - begin);
    mqlua_text_push(&text);
    return 1;
}

void mqlua_encodings_open(lua_State *L)
{
    static const struct {
        const char *name;
        lua_CFunction encode, decode;
    } codes[] = {
        {"base64", l_base64_encode, l_base64_decode}, {"base64url", l_base64url_encode, l_base64url_decode},
        {"hex", l_hex_encode, l_hex_decode},          {"quoted_printable", l_qp_encode, l_qp_decode},
        {"url", l_url_encode, l_url_decode},
    };
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        lua_createtable(L, 0, 2);
        lua_pushcfunction(L, codes[i].encode);
        lua_setfield(L, -2, "encode");
        lua_pushcfunction(L, codes[i].decode);
        lua_setfield(L, -2, "decode");
        lua_setfield(L, -2, codes[i].name);
    }
}
