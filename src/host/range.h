/* SPDX-License-Identifier: MIT */
#pragma once

/* Address ranges such as 10.0.0.0/8 and 2001:db8::/32. Pure, any thread. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct host_range;
struct host_options;

/* Parses "ADDRESS" or "ADDRESS/BITS"; false when it is neither. */
bool host_range_parse(const char *text, struct host_range *range);

/* True when the address belongs to one of the ranges of --proxy-from. */
bool host_range_contains(const struct host_options *options, const struct sockaddr_storage *address);
