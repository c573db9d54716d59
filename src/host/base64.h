/* SPDX-License-Identifier: MIT */
#pragma once

/* Base64 as SMTP AUTH uses it (RFC 4648 section 4). Pure, any thread. */

#include <stddef.h>
#include <sys/types.h>

/* Decodes strictly: length a multiple of four, padding only at the end, no white space, no bits set that
 * belong to no octet. Returns the number of bytes (NUL bytes possible), or -1 when malformed or when they do
 * not fit into capacity. Nothing is terminated. */
ssize_t host_base64_decode(const char *text, size_t size, void *out, size_t capacity);

/* Encodes into a new NUL-terminated string that the caller frees; NULL without memory. */
char *host_base64_encode(const void *data, size_t size);
