/* SPDX-License-Identifier: MIT */

/* Sets of networks against a plain reading of them, network by network. Input: an address, a newline, the
 * networks, one per line. */

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cidr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct address {
    unsigned char bytes[16];
    int bits; /* 32 or 128 */
} address;

/* IPv4 that is written as IPv6 counts as IPv4. */
static bool parse(const char *text, address *a)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    a->bits = 32;
    if (inet_pton(AF_INET, text, a->bytes) == 1)
        return true;
    a->bits = 128;
    if (inet_pton(AF_INET6, text, a->bytes) != 1)
        return false;
    if (memcmp(a->bytes, mapped, sizeof mapped) == 0) {
        memmove(a->bytes, a->bytes + 12, 4);
        a->bits = 32;
    }
    return true;
}

/* A network that the set has taken: is the address in it? */
static bool plain(const char *network, const address *a)
{
    char text[64];
    address base;
    const char *slash = strchr(network, '/');
    size_t size = slash ? (size_t)(slash - network) : strlen(network);
    if (size >= sizeof text)
        abort();
    memcpy(text, network, size);
    text[size] = '\0';
    if (!parse(text, &base))
        abort();
    int bits = slash ? atoi(slash + 1) : base.bits;
    if (slash && base.bits == 32 && strchr(text, ':'))
        bits -= 96;
    if (base.bits != a->bits || bits < 0)
        return false;
    for (int i = 0; i < bits; i++)
        if ((base.bytes[i / 8] ^ a->bytes[i / 8]) & (0x80 >> i % 8))
            return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *save = NULL;
    mqlua_cidr *cidr = mqlua_cidr_new(NULL, NULL);
    if (!text || !cidr)
        abort();
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    char *asked = strtok_r(text, "\n", &save);
    address a;
    bool known = asked && parse(asked, &a), expected = false;
    for (char *line = strtok_r(NULL, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *error = NULL;
        bool taken = mqlua_cidr_add(cidr, line, strlen(line), &error);
        if (taken != !error)
            abort();
        if (taken && known)
            expected = expected || plain(line, &a);
        free(error);
    }
    mqlua_cidr_finish(cidr);
    if (asked) {
        int found = mqlua_cidr_contains_text(cidr, asked, strlen(asked));
        if (known && found != expected) {
            fprintf(stderr, "%s: %d, not %d\n", asked, found, expected);
            abort();
        }
    }
    mqlua_cidr_free(cidr);
    free(text);
    return 0;
}
