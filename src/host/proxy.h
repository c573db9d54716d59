/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The PROXY protocol, versions 1 and 2, that a load balancer sends before anything else.
 * Pure: no allocation, no state, any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum host_proxy_status {
    HOST_PROXY_MORE, /* what is there is the beginning of a header: read on */
    HOST_PROXY_DONE,
    HOST_PROXY_BAD, /* no header at all, or a malformed one: close the connection */
};

/* Version 2 has room for extensions; balancers send some hundred bytes of them. */
enum { HOST_PROXY_MAX = 2048, HOST_PROXY_TEXT_MAX = 107 };

struct host_proxy {
    int version; /* 1 or 2 */
    bool known;  /* false for LOCAL, UNKNOWN and families other than TCP: keep the socket's own addresses */
    bool ipv6;
    char remote_ip[46]; /* the client, in canonical text form */
    char local_ip[46];  /* what the client connected to */
    uint16_t remote_port;
    uint16_t local_port;
};

/* Looks at the first size bytes of a connection; call again with all of them when more arrived.
 * On DONE *used says how many bytes the header had, those behind it are SMTP. MORE is never
 * answered to more than HOST_PROXY_MAX bytes. */
enum host_proxy_status host_proxy_parse(const void *bytes, size_t size, struct host_proxy *proxy,
                                        size_t *used);
