/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A set of IP networks. Growing it belongs to one thread; once finished it is read-only and may be used by
 * any.
 *
 * IPv4 and IPv6 are kept apart: ::/0 holds no IPv4 address. An IPv4 address written as IPv6
 * (::ffff:192.0.2.1), as dual-stack sockets show them, counts as the IPv4 address.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

typedef struct mqlua_cidr mqlua_cidr;

/* What a set takes its memory with, where somebody counts it: as lua_Alloc, a free has the new size 0. */
typedef void *mqlua_cidr_resize(void *ud, void *block, size_t size, size_t wanted);

/* An empty set, owned by the caller; NULL when memory is out. resize NULL: that of the C library. */
mqlua_cidr *mqlua_cidr_new(mqlua_cidr_resize *resize, void *ud);
void mqlua_cidr_free(mqlua_cidr *cidr); /* NULL is fine */

/* Adds "192.0.2.0/24", "2001:db8::/32" or a single address. False with *error (malloc'ed, naming the text)
 * when it is none or has bits set behind the prefix. */
bool mqlua_cidr_add(mqlua_cidr *cidr, const char *text, size_t size, char **error);

/* Sorts and merges: must come after the last add and before the first question. */
void mqlua_cidr_finish(mqlua_cidr *cidr);

/* The same; step is called now and then with the comparisons since the last time. It may leave by longjmp:
 * the set can then only be freed. */
void mqlua_cidr_finish_steps(mqlua_cidr *cidr, void (*step)(void *ud, size_t count), void *ud);

/* A finished set of a NULL-terminated list. NULL with *error (malloc'ed). Owned by the caller. */
mqlua_cidr *mqlua_cidr_parse(char *const *texts, char **error);

/* Is the address in one of the networks? False for other address families, for NULL, and where
 * there is no set (NULL). */
bool mqlua_cidr_contains(const mqlua_cidr *cidr, const struct sockaddr *address);

/* The same for text. 1 yes, 0 no, -1 when text is no IP address. A zone (fe80::1%eth0) is ignored. */
int mqlua_cidr_contains_text(const mqlua_cidr *cidr, const char *text, size_t size);
