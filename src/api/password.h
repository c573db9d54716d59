/* SPDX-License-Identifier: MIT */
#pragma once

#include <lua.h>

/* What checking a password against a hash can say. */
typedef enum mqlua_password_result {
    MQLUA_PASSWORD_RIGHT,
    MQLUA_PASSWORD_WRONG,
    MQLUA_PASSWORD_UNUSABLE,  /* no hash that the system's crypt knows, or a disabled one */
    MQLUA_PASSWORD_EXPENSIVE, /* it asks for more work than an operator can mean */
    MQLUA_PASSWORD_MEMORY,
} mqlua_password_result;

/* Does crypt know a hash of this form, and can it be computed in some seconds and 64 MB? RIGHT, UNUSABLE or
 * EXPENSIVE. Any thread. */
mqlua_password_result mqlua_password_judge(const char *hash);

/* Computes the hash, which takes as long as it was made to take. Any thread but a worker's. password may hold
 * any bytes (one with a NUL is right for no hash); hash is NUL-terminated. Copies are wiped. */
mqlua_password_result mqlua_password_check(const char *password, size_t size, const char *hash);

/* Adds mq.password.verify to the table on top. May raise. */
void mqlua_password_open(lua_State *L);
