/* SPDX-License-Identifier: MIT */

/* Digests on OpenSSL 3 (base/library.h). A state has one context of each kind, made when it is first used:
 * a spent budget may raise between two pieces, and then nothing is left open. */

#include "api/digests.h"
#include "api/option.h"
#include "base/encoding.h"
#include "base/library.h"
#include "vm/bytes.h"
#include "vm/vm.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>

#include <stdio.h>

/* Bytes between two looks at the budget. */
enum { PIECE = 64 * 1024 };

/* Functions of OpenSSL by their own names. */
typedef struct openssl {
    EVP_MD *(*EVP_MD_fetch)(OSSL_LIB_CTX *, const char *, const char *);
    void (*EVP_MD_free)(EVP_MD *);
    EVP_MD_CTX *(*EVP_MD_CTX_new)(void);
    void (*EVP_MD_CTX_free)(EVP_MD_CTX *);
    int (*EVP_DigestInit_ex2)(EVP_MD_CTX *, const EVP_MD *, const OSSL_PARAM *);
    int (*EVP_DigestUpdate)(EVP_MD_CTX *, const void *, size_t);
    int (*EVP_DigestFinal_ex)(EVP_MD_CTX *, unsigned char *, unsigned int *);
    EVP_MAC *(*EVP_MAC_fetch)(OSSL_LIB_CTX *, const char *, const char *);
    void (*EVP_MAC_free)(EVP_MAC *);
    EVP_MAC_CTX *(*EVP_MAC_CTX_new)(EVP_MAC *);
    void (*EVP_MAC_CTX_free)(EVP_MAC_CTX *);
    int (*EVP_MAC_init)(EVP_MAC_CTX *, const unsigned char *, size_t, const OSSL_PARAM *);
    int (*EVP_MAC_update)(EVP_MAC_CTX *, const unsigned char *, size_t);
    int (*EVP_MAC_final)(EVP_MAC_CTX *, unsigned char *, size_t *, size_t);
    void (*ERR_clear_error)(void);
} openssl;

#define SYMBOL(name) MQLUA_LIBRARY_SYMBOL(openssl, name)
static const mqlua_library_symbol symbols[] = {
    SYMBOL(EVP_MD_fetch),       SYMBOL(EVP_MD_free),      SYMBOL(EVP_MD_CTX_new),     SYMBOL(EVP_MD_CTX_free),
    SYMBOL(EVP_DigestInit_ex2), SYMBOL(EVP_DigestUpdate), SYMBOL(EVP_DigestFinal_ex), SYMBOL(EVP_MAC_fetch),
    SYMBOL(EVP_MAC_free),       SYMBOL(EVP_MAC_CTX_new),  SYMBOL(EVP_MAC_CTX_free),   SYMBOL(EVP_MAC_init),
    SYMBOL(EVP_MAC_update),     SYMBOL(EVP_MAC_final),    SYMBOL(ERR_clear_error),    {NULL, 0},
};

static const char *const names[] = {"md5", "sha1", "sha256", "sha512"};
enum { NAMES = sizeof names / sizeof *names };

/* What a state has of OpenSSL; a userdata. */
typedef struct digests {
    bool open;
    openssl ssl;
    EVP_MD *md[NAMES];
    EVP_MD_CTX *hash;
    EVP_MAC *mac;
    EVP_MAC_CTX *hmac;
} digests;

static int l_gc(lua_State *L)
{
    digests *self = lua_touserdata(L, 1);
    if (!self || !self->open)
        return 0;
    self->ssl.EVP_MAC_CTX_free(self->hmac);
    self->ssl.EVP_MAC_free(self->mac);
    self->ssl.EVP_MD_CTX_free(self->hash);
    for (int i = 0; i < NAMES; i++)
        self->ssl.EVP_MD_free(self->md[i]);
    self->open = false;
    return 0;
}

/* Upvalues of every function: the digests, and which of names. */
static digests *self_of(lua_State *L, int *which)
{
    digests *self = lua_touserdata(L, lua_upvalueindex(1));
    *which = (int)lua_tointeger(L, lua_upvalueindex(2));
    if (!self->open)
        self->open = mqlua_library_open("libcrypto.so.3", symbols, &self->ssl, sizeof self->ssl);
    if (!self->open)
        luaL_error(L, "digests need OpenSSL 3: libcrypto.so.3 is missing (package libssl3)");
    return self;
}

/* OpenSSL does not say whether memory was out or the system's configuration (FIPS) has no such digest. */
static int fail(lua_State *L, digests *self, int which)
{
    self->ssl.ERR_clear_error();
    return luaL_error(L, "OpenSSL could not make a digest with %s", names[which]);
}

static int push_digest(lua_State *L, const unsigned char *digest, size_t size, bool raw)
{
    char hex[2 * EVP_MAX_MD_SIZE];
    mqlua_hex_encode(hex, (const char *)digest, size);
    lua_pushlstring(L, raw ? (const char *)digest : hex, raw ? size : 2 * size);
    return 1;
}

static size_t piece_of(lua_State *L, size_t at, size_t size)
{
    size_t piece = size - at < PIECE ? size - at : PIECE;
    mqlua_vm_charge(L, 200 + piece);
    return piece;
}

/* hash.sha256(data, {raw=}) */
static int l_hash(lua_State *L)
{
    int which;
    digests *self = self_of(L, &which);
    const openssl *ssl = &self->ssl;
    size_t size, piece;
    const char *data = mqlua_bytes_check(L, 1, &size);
    bool raw = mqlua_option_flag(L, 2, "mq.hash", "raw");
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    if (!self->md[which])
        self->md[which] = ssl->EVP_MD_fetch(NULL, names[which], NULL);
    if (!self->hash)
        self->hash = ssl->EVP_MD_CTX_new();
    if (!self->md[which] || !self->hash || !ssl->EVP_DigestInit_ex2(self->hash, self->md[which], NULL))
        return fail(L, self, which);
    for (size_t at = 0; at < size; at += piece) {
        piece = piece_of(L, at, size);
        if (!ssl->EVP_DigestUpdate(self->hash, data + at, piece))
            return fail(L, self, which);
    }
    if (!ssl->EVP_DigestFinal_ex(self->hash, digest, &length))
        return fail(L, self, which);
    return push_digest(L, digest, length, raw);
}

/* hmac.sha256(key, data, {raw=}) */
static int l_hmac(lua_State *L)
{
    int which;
    digests *self = self_of(L, &which);
    const openssl *ssl = &self->ssl;
    size_t size, key_size, piece, length = 0;
    const char *key = mqlua_bytes_check(L, 1, &key_size);
    const char *data = mqlua_bytes_check(L, 2, &size);
    bool raw = mqlua_option_flag(L, 3, "mq.hmac", "raw");
    unsigned char digest[EVP_MAX_MD_SIZE];
    const OSSL_PARAM parameters[] = {
        {OSSL_MAC_PARAM_DIGEST, OSSL_PARAM_UTF8_STRING, (void *)names[which], strlen(names[which]), 0},
        {0},
    };
    mqlua_vm_charge(L, key_size);
    if (!self->mac)
        self->mac = ssl->EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (self->mac && !self->hmac)
        self->hmac = ssl->EVP_MAC_CTX_new(self->mac);
    if (!self->hmac || !ssl->EVP_MAC_init(self->hmac, (const unsigned char *)key, key_size, parameters))
        return fail(L, self, which);
    for (size_t at = 0; at < size; at += piece) {
        piece = piece_of(L, at, size);
        if (!ssl->EVP_MAC_update(self->hmac, (const unsigned char *)data + at, piece))
            return fail(L, self, which);
    }
    if (!ssl->EVP_MAC_final(self->hmac, digest, &length, sizeof digest))
        return fail(L, self, which);
    return push_digest(L, digest, length, raw);
}

/* equal(a, b): takes the same time wherever texts of the same size differ. nil is equal to nothing. */
static int l_equal(lua_State *L)
{
    size_t size, other;
    luaL_checkany(L, 2);
    bool none = lua_isnil(L, 1) || lua_isnil(L, 2);
    const char *a = lua_isnil(L, 1) ? "" : mqlua_bytes_check(L, 1, &size);
    const char *b = lua_isnil(L, 2) ? "" : mqlua_bytes_check(L, 2, &other);
    unsigned char difference = 0;
    if (none || size != other) {
        lua_pushboolean(L, 0);
        return 1;
    }
    for (size_t i = 0; i < size; i++) {
        difference |= (unsigned char)(a[i] ^ b[i]);
        if (i % PIECE == 0)
            mqlua_vm_charge(L, size - i < PIECE ? size - i : PIECE);
    }
    lua_pushboolean(L, difference == 0);
    return 1;
}

static void add_functions(lua_State *L, const char *name, lua_CFunction function)
{
    int ud = lua_gettop(L);
    lua_createtable(L, 0, NAMES);
    for (int i = 0; i < NAMES; i++) {
        lua_pushvalue(L, ud);
        lua_pushinteger(L, i);
        lua_pushcclosure(L, function, 2);
        lua_setfield(L, -2, names[i]);
    }
    lua_setfield(L, ud - 1, name);
}

void mqlua_digests_open(lua_State *L)
{
    digests *self = lua_newuserdata(L, sizeof *self);
    memset(self, 0, sizeof *self);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, l_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    add_functions(L, "hash", l_hash);
    add_functions(L, "hmac", l_hmac);
    lua_pop(L, 1);
    lua_pushcfunction(L, l_equal);
    lua_setfield(L, -2, "equal");
}
