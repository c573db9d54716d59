/* SPDX-License-Identifier: MIT */

/* Numbers that nobody can guess, from the kernel: there is no state that a fork could copy. */

#include "api/random.h"
#include "base/encoding.h"
#include "base/error.h"
#include "vm/text.h"
#include "vm/vm.h"

#include <errno.h>
#include <stdint.h>
#include <sys/random.h>

enum { BYTES_MAX = 1024 * 1024, TOKEN_DEFAULT = 16, TOKEN_MAX = 192, PIECE = 256 };

#define WHOLE_MAX 9007199254740992.0 /* 2^53: up to here a number of Lua is exact */

/* size is at most 256: so much is always given at once. */
static void fill(lua_State *L, void *bytes, size_t size)
{
    ssize_t given;
    mqlua_vm_charge(L, 100 + size);
    do
        given = getrandom(bytes, size, GRND_NONBLOCK);
    while (given < 0 && errno == EINTR);
    if (given != (ssize_t)size)
        luaL_error(L, "the kernel has no random bytes: %s", mqlua_error_text(errno));
}

static size_t count_at(lua_State *L, int index, lua_Number preset, int most)
{
    lua_Number count = luaL_optnumber(L, index, preset);
    if (!(count >= 1 && count <= most))
        luaL_error(L, "bad argument #%d (1 to %d bytes)", index, most);
    return (size_t)count;
}

/* bytes(count) */
static int l_bytes(lua_State *L)
{
    luaL_checknumber(L, 1);
    size_t size = count_at(L, 1, 1, BYTES_MAX);
    mqlua_text text;
    mqlua_text_init(&text, L);
    for (size_t at = 0, piece; at < size; at += piece) {
        piece = size - at < PIECE ? size - at : PIECE;
        fill(L, mqlua_text_room(&text, piece), piece);
    }
    mqlua_text_push(&text);
    return 1;
}

/* token(count): so many bytes as base64url. */
static int l_token(lua_State *L)
{
    char bytes[TOKEN_MAX], text[TOKEN_MAX / 3 * 4];
    size_t size = count_at(L, 1, TOKEN_DEFAULT, TOKEN_MAX);
    fill(L, bytes, size);
    lua_pushlstring(L, text, mqlua_base64_encode(text, bytes, size, true, false));
    return 1;
}

static lua_Number whole_at(lua_State *L, int index)
{
    lua_Number number = luaL_checknumber(L, index);
    if (!(number >= -WHOLE_MAX && number <= WHOLE_MAX) || (lua_Number)(int64_t)number != number)
        luaL_argerror(L, index, "a whole number expected");
    return number;
}

/* integer(low, high): each from low to high is as likely as the others. */
static int l_integer(lua_State *L)
{
    lua_Number low = whole_at(L, 1), high = whole_at(L, 2);
    if (low > high || high - low >= WHOLE_MAX)
        return luaL_error(L, "mq.random.integer: low must not be above high, nor 2^53 below it");
    uint64_t count = (uint64_t)(high - low) + 1, number;
    uint64_t surplus = (UINT64_MAX % count + 1) % count; /* the highest numbers, which would favour some */
    do
        fill(L, &number, sizeof number);
    while (number > UINT64_MAX - surplus);
    lua_pushnumber(L, low + (lua_Number)(number % count));
    return 1;
}

/* uuid(): version 4 of RFC 9562. */
static int l_uuid(lua_State *L)
{
    char bytes[16], hex[32], text[36];
    size_t used = 0;
    fill(L, bytes, sizeof bytes);
    bytes[6] = (char)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (char)((bytes[8] & 0x3f) | 0x80);
    mqlua_hex_encode(hex, bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof hex; i++) {
        if (i == 8 || i == 12 || i == 16 || i == 20)
            text[used++] = '-';
        text[used++] = hex[i];
    }
    lua_pushlstring(L, text, used);
    return 1;
}

void mqlua_random_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"bytes", l_bytes}, {"integer", l_integer}, {"token", l_token}, {NULL, NULL}};
    lua_createtable(L, 0, 3);
    luaL_register(L, NULL, functions);
    lua_setfield(L, -2, "random");
    lua_pushcfunction(L, l_uuid);
    lua_setfield(L, -2, "uuid");
}
