/* SPDX-License-Identifier: MIT */
#include "api/password.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* What one verification may take on a helper thread, which cannot be interrupted: some seconds with the
 * longest password, and 64 MB. */
enum {
    BCRYPT_COST_MAX = 14,
    SHA_ROUNDS_MAX = 1000000,
    SHA1_ROUNDS_MAX = 500000,
    MD5_ROUNDS_MAX = 500000,
    DES_ROUNDS_MAX = 2000000,
    SCRYPT_BLOCKS_MAX = 1 << 19, /* N * r * p; a block has 128 bytes */
};

static const char digits[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static int digit(char c)
{
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

typedef mqlua_password_result judge(const char *rest);

/* Decimal digits that end with a '$'. */
static mqlua_password_result judge_rounds(const char *rest, unsigned long most)
{
    size_t size = strspn(rest, "0123456789");
    unsigned long rounds = 0;
    if (!size || rest[size] != '$')
        return MQLUA_PASSWORD_UNUSABLE;
    for (size_t i = 0; i < size && rounds <= most; i++)
        rounds = rounds * 10 + (unsigned long)(rest[i] - '0');
    return rounds <= most ? MQLUA_PASSWORD_RIGHT : MQLUA_PASSWORD_EXPENSIVE;
}

static mqlua_password_result judge_fixed(const char *rest)
{
    return MQLUA_PASSWORD_RIGHT;
}

static mqlua_password_result judge_sha2(const char *rest)
{
    static const char key[] = "rounds=";
    if (strncmp(rest, key, sizeof key - 1) != 0)
        return MQLUA_PASSWORD_RIGHT; /* 5000 */
    return judge_rounds(rest + sizeof key - 1, SHA_ROUNDS_MAX);
}

static mqlua_password_result judge_sha1(const char *rest)
{
    return judge_rounds(rest, SHA1_ROUNDS_MAX);
}

static mqlua_password_result judge_sun_md5(const char *rest)
{
    return judge_rounds(rest, MD5_ROUNDS_MAX);
}

static mqlua_password_result judge_bcrypt(const char *rest)
{
    if (strspn(rest, "0123456789") != 2)
        return MQLUA_PASSWORD_UNUSABLE;
    return judge_rounds(rest, BCRYPT_COST_MAX);
}

static mqlua_password_result judge_blocks(int log2_n, uint64_t r, uint64_t p)
{
    if (log2_n < 1 || !r || !p)
        return MQLUA_PASSWORD_UNUSABLE;
    bool cheap = log2_n < 20 && r <= 64 && p <= 64 && (r * p << log2_n) <= SCRYPT_BLOCKS_MAX;
    return cheap ? MQLUA_PASSWORD_RIGHT : MQLUA_PASSWORD_EXPENSIVE;
}

/* Flavour, log2(N) - 1, r - 1, each of one character: the parameters that crypt_gensalt writes. Others have
 * more fields, or numbers of several characters, which only ask for more. */
static mqlua_password_result judge_yescrypt(const char *rest)
{
    size_t size = strcspn(rest, "$");
    if (size < 3 || rest[0] != 'j' || digit(rest[1]) < 0 || digit(rest[2]) < 0)
        return MQLUA_PASSWORD_UNUSABLE;
    if (size > 3)
        return MQLUA_PASSWORD_EXPENSIVE;
    return judge_blocks(digit(rest[1]) + 1, (uint64_t)digit(rest[2]) + 1, 1);
}

/* Five characters, the lowest six bits first; 0 when they are none. */
static uint64_t number_of_five(const char *text)
{
    uint64_t number = 0;
    for (int i = 0; i < 5; i++) {
        if (digit(text[i]) < 0)
            return 0;
        number |= (uint64_t)digit(text[i]) << (6 * i);
    }
    return number;
}

static mqlua_password_result judge_scrypt(const char *rest)
{
    if (strnlen(rest, 11) < 11)
        return MQLUA_PASSWORD_UNUSABLE;
    return judge_blocks(digit(rest[0]), number_of_five(rest + 1), number_of_five(rest + 6));
}

/* The methods of libxcrypt, each with what its hashes begin with, where its cost is, and how long the last
 * field is. What is not here is not used, whatever a later libcrypt makes of it. */
static const struct method {
    const char *prefix;
    judge *cost;
    size_t digest; /* characters behind the last '$' */
} methods[] = {
    {"$y$", judge_yescrypt, 43}, {"$gy$", judge_yescrypt, 43}, {"$7$", judge_scrypt, 43},
    {"$2a$", judge_bcrypt, 53},  {"$2b$", judge_bcrypt, 53},   {"$2x$", judge_bcrypt, 53},
    {"$2y$", judge_bcrypt, 53},  {"$6$", judge_sha2, 86},      {"$5$", judge_sha2, 43},
    {"$sha1$", judge_sha1, 28},  {"$md5$", judge_fixed, 22},   {"$md5,rounds=", judge_sun_md5, 22},
    {"$1$", judge_fixed, 22},    {"$3$$", judge_fixed, 32},
};

/* Without a '$': DES, two characters of salt; longer ones of bigcrypt; '_' with four characters of rounds. */
static mqlua_password_result judge_des(const char *hash)
{
    size_t size = strlen(hash);
    if (strspn(hash + (hash[0] == '_'), digits) != size - (hash[0] == '_'))
        return MQLUA_PASSWORD_UNUSABLE;
    if (hash[0] != '_')
        return size == 13 || (size > 13 && size <= 178 && size % 11 == 2) ? MQLUA_PASSWORD_RIGHT
                                                                          : MQLUA_PASSWORD_UNUSABLE;
    if (size != 20)
        return MQLUA_PASSWORD_UNUSABLE;
    long rounds = 0;
    for (int i = 0; i < 4; i++)
        rounds |= (long)digit(hash[1 + i]) << (6 * i);
    return rounds <= DES_ROUNDS_MAX ? MQLUA_PASSWORD_RIGHT : MQLUA_PASSWORD_EXPENSIVE;
}

mqlua_password_result mqlua_password_judge(const char *hash)
{
    if (hash[0] != '$')
        return hash[0] ? judge_des(hash) : MQLUA_PASSWORD_UNUSABLE;
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        const struct method *m = &methods[i];
        size_t size = strlen(m->prefix);
        if (strncmp(hash, m->prefix, size) != 0)
            continue;
        mqlua_password_result result = m->cost(hash + size);
        if (result != MQLUA_PASSWORD_RIGHT)
            return result;
        const char *digest = strrchr(hash, '$') + 1;
        bool whole = strlen(digest) == m->digest && strspn(digest, digits) == m->digest;
        return whole ? result : MQLUA_PASSWORD_UNUSABLE;
    }
    return MQLUA_PASSWORD_UNUSABLE;
}
