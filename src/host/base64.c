/* SPDX-License-Identifier: MIT */

#include "host/base64.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* EVP_DecodeBlock skips white space at both ends and ignores surplus bits, so what it must not see is
 * refused beforehand. Returns how many padding characters there are, or -1. */
static int padding(const char *text, size_t size)
{
    if (size % 4)
        return -1;
    int pad = 0;
    while (pad < 2 && size > 0 && text[size - 1] == '=') {
        size--;
        pad++;
    }
    for (size_t i = 0; i < size; i++)
        if (text[i] == '\0' || !strchr(alphabet, text[i]))
            return -1;
    if (pad) {
        size_t last = (size_t)(strchr(alphabet, text[size - 1]) - alphabet);
        if (last & (pad == 1 ? 3u : 15u))
            return -1;
    }
    return pad;
}

ssize_t host_base64_decode(const char *text, size_t size, void *out, size_t capacity)
{
    int pad = size <= INT_MAX ? padding(text, size) : -1;
    if (pad < 0)
        return -1;
    if (size == 0)
        return 0;
    size_t decoded = size / 4 * 3 - (size_t)pad;
    if (decoded > capacity)
        return -1;
    unsigned char *block = malloc(size / 4 * 3); /* the whole quantum is written, padding included */
    if (!block)
        return -1;
    bool ok = EVP_DecodeBlock(block, (const unsigned char *)text, (int)size) >= 0;
    if (ok)
        memcpy(out, block, decoded);
    explicit_bzero(block, size / 4 * 3); /* it may be a password */
    free(block);
    return ok ? (ssize_t)decoded : -1;
}

char *host_base64_encode(const void *data, size_t size)
{
    if (size > INT_MAX / 4 * 3 - 3)
        return NULL;
    char *text = malloc((size + 2) / 3 * 4 + 1);
    if (text)
        EVP_EncodeBlock((unsigned char *)text, data, (int)size);
    return text;
}
