/* SPDX-License-Identifier: MIT */

#include "host/proxy.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static const unsigned char signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                            0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

/* A port without sign, leading zero or blank. */
static bool parse_port(const char *text, uint16_t *port)
{
    unsigned value = 0;
    size_t digits = strlen(text);
    if (digits == 0 || digits > 5 || (text[0] == '0' && digits > 1))
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (unsigned)(*text - '0');
    }
    *port = (uint16_t)value;
    return value <= UINT16_MAX;
}

/* An address of that family, written anew so that one address has one text. */
static bool parse_address(const char *text, int family, char out[46])
{
    unsigned char address[16];
    return inet_pton(family, text, address) == 1 && inet_ntop(family, address, out, 46) != NULL;
}

/* What stands between "PROXY" and CRLF, cut into words; the line is changed. */
static bool parse_words(char *line, struct host_proxy *proxy)
{
    char *words[6];
    size_t number = 0;
    for (char *at = line; at && number < 6; number++) {
        words[number] = at;
        /* cppcheck-suppress nullPointer ; the loop's condition says that it is none */
        at = strchr(at, ' ');
        if (at)
            *at++ = '\0';
        if (number == 1 && strcmp(words[1], "UNKNOWN") == 0)
            return true; /* whatever follows is to be ignored */
        if (number == 5 && at)
            return false;
    }
    if (number != 6)
        return false;
    proxy->ipv6 = strcmp(words[1], "TCP6") == 0;
    proxy->known = true;
    int family = proxy->ipv6 ? AF_INET6 : AF_INET;
    return (proxy->ipv6 || strcmp(words[1], "TCP4") == 0) &&
           parse_address(words[2], family, proxy->remote_ip) &&
           parse_address(words[3], family, proxy->local_ip) && parse_port(words[4], &proxy->remote_port) &&
           parse_port(words[5], &proxy->local_port);
}

static enum host_proxy_status parse_text(const char *bytes, size_t size, struct host_proxy *proxy,
                                         size_t *used)
{
    char line[HOST_PROXY_TEXT_MAX + 1];
    size_t scan = size < HOST_PROXY_TEXT_MAX ? size : HOST_PROXY_TEXT_MAX;
    const char *lf = memchr(bytes, '\n', scan);
    if (!lf)
        return scan == HOST_PROXY_TEXT_MAX || memchr(bytes, '\0', scan) ? HOST_PROXY_BAD : HOST_PROXY_MORE;
    size_t length = (size_t)(lf - bytes);
    if (bytes[length - 1] != '\r' || memchr(bytes, '\0', length))
        return HOST_PROXY_BAD;
    memcpy(line, bytes, length - 1);
    line[length - 1] = '\0';
    if (strchr(line, '\r') || !parse_words(line, proxy))
        return HOST_PROXY_BAD;
    proxy->version = 1;
    *used = length + 1;
    return HOST_PROXY_DONE;
}

static enum host_proxy_status parse_binary(const unsigned char *bytes, size_t size, struct host_proxy *proxy,
                                           size_t *used)
{
    if (size > 12 && (bytes[12] >> 4 != 2 || (bytes[12] & 15) > 1))
        return HOST_PROXY_BAD;
    if (size < 16)
        return HOST_PROXY_MORE;
    size_t length = (size_t)bytes[14] << 8 | bytes[15];
    bool local = (bytes[12] & 15) == 0;
    unsigned family = bytes[13];
    size_t octets = family == 0x11 ? 4 : family == 0x21 ? 16 : 0;
    if (16 + length > HOST_PROXY_MAX || (family >> 4) > 3 || (family & 15) > 2 ||
        (!local && length < 2 * octets + 4 && octets))
        return HOST_PROXY_BAD;
    if (size < 16 + length)
        return HOST_PROXY_MORE;
    proxy->version = 2;
    *used = 16 + length;
    if (local || !octets) /* UDP and unix sockets: nothing an SMTP server could use */
        return HOST_PROXY_DONE;
    const unsigned char *at = bytes + 16;
    int family_number = octets == 4 ? AF_INET : AF_INET6;
    proxy->known = true;
    proxy->ipv6 = octets == 16;
    inet_ntop(family_number, at, proxy->remote_ip, sizeof proxy->remote_ip);
    inet_ntop(family_number, at + octets, proxy->local_ip, sizeof proxy->local_ip);
    at += 2 * octets;
    proxy->remote_port = (uint16_t)(at[0] << 8 | at[1]);
    proxy->local_port = (uint16_t)(at[2] << 8 | at[3]);
    return HOST_PROXY_DONE;
}

enum host_proxy_status host_proxy_parse(const void *bytes, size_t size, struct host_proxy *proxy,
                                        size_t *used)
{
    *proxy = (struct host_proxy){0};
    *used = 0;
    size_t first = size < sizeof signature ? size : sizeof signature;
    enum host_proxy_status status = HOST_PROXY_BAD;
    if (size == 0)
        return HOST_PROXY_MORE;
    if (memcmp(bytes, signature, first) == 0)
        status = first < sizeof signature ? HOST_PROXY_MORE : parse_binary(bytes, size, proxy, used);
    else if (memcmp(bytes, "PROXY ", size < 6 ? size : 6) == 0)
        status = size < 6 ? HOST_PROXY_MORE : parse_text(bytes, size, proxy, used);
    if (status != HOST_PROXY_DONE)
        *proxy = (struct host_proxy){0};
    return status;
}
