/* SPDX-License-Identifier: MIT */
#include "host/range.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "host/host.h"

/* IPv4 as IPv4-mapped IPv6, so that there is one kind of comparison. */
static void map_four(const struct in_addr *four, struct in6_addr *six)
{
    memset(six, 0, sizeof *six);
    six->s6_addr[10] = six->s6_addr[11] = 0xFF;
    memcpy(six->s6_addr + 12, four, 4);
}

bool host_range_parse(const char *text, struct host_range *range)
{
    char address[INET6_ADDRSTRLEN];
    struct in_addr four;
    const char *slash = strchr(text, '/');
    size_t size = slash ? (size_t)(slash - text) : strlen(text);
    if (size >= sizeof address)
        return false;
    memcpy(address, text, size);
    address[size] = '\0';
    unsigned long most = 128, offset = 0;
    if (inet_pton(AF_INET, address, &four) == 1) {
        map_four(&four, &range->address);
        most = 32;
        offset = 96;
    } else if (inet_pton(AF_INET6, address, &range->address) != 1) {
        return false;
    }
    unsigned long bits = most;
    if (slash) {
        char *end;
        if (slash[1] < '0' || slash[1] > '9')
            return false;
        bits = strtoul(slash + 1, &end, 10);
        if (*end || bits > most)
            return false;
    }
    range->bits = (unsigned int)(bits + offset);
    return true;
}

static bool same_bits(const struct in6_addr *left, const struct in6_addr *right, unsigned int bits)
{
    unsigned int bytes = bits / 8, rest = bits % 8;
    if (memcmp(left, right, bytes) != 0)
        return false;
    if (!rest)
        return true;
    unsigned char mask = (unsigned char)(0xFF << (8 - rest));
    return ((left->s6_addr[bytes] ^ right->s6_addr[bytes]) & mask) == 0;
}

bool host_range_contains(const struct host_options *options, const struct sockaddr_storage *address)
{
    struct in6_addr six;
    if (address->ss_family == AF_INET)
        map_four(&((const struct sockaddr_in *)address)->sin_addr, &six);
    else if (address->ss_family == AF_INET6)
        six = ((const struct sockaddr_in6 *)address)->sin6_addr;
    else
        return false;
    for (size_t i = 0; i < options->proxy_count; i++)
        if (same_bits(&options->proxies[i].address, &six, options->proxies[i].bits))
            return true;
    return false;
}
