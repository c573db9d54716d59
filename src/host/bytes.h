/* SPDX-License-Identifier: MIT */
#pragma once

/* A growing array of bytes. Zero-initialised is empty. Not thread-safe; never raises. */

#include <stdbool.h>
#include <stddef.h>

struct host_bytes {
    char *data;      /* NULL while nothing was ever added; always followed by a NUL byte otherwise */
    size_t size;     /* bytes in use, without that NUL */
    size_t capacity; /* bytes allocated, one of them for that NUL */
};

/* Makes room for extra more bytes behind size. False without memory, with nothing changed. */
bool host_bytes_reserve(struct host_bytes *bytes, size_t extra);

/* Appends a copy. False without memory, with nothing changed. data may be NULL when size is 0. */
bool host_bytes_add(struct host_bytes *bytes, const void *data, size_t size);

/* Appends a NUL-terminated string, without its NUL. */
bool host_bytes_add_text(struct host_bytes *bytes, const char *text);

/* Appends formatted text. */
bool host_bytes_printf(struct host_bytes *bytes, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Drops the first size bytes (at most what is there); the memory is kept. */
void host_bytes_drop(struct host_bytes *bytes, size_t size);

/* Empties it; the memory is kept. */
void host_bytes_clear(struct host_bytes *bytes);

/* Releases the memory and leaves it empty. */
void host_bytes_free(struct host_bytes *bytes);
