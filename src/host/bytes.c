/* SPDX-License-Identifier: MIT */

#include "host/bytes.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool host_bytes_reserve(struct host_bytes *bytes, size_t extra)
{
    if (extra > SIZE_MAX / 4 || bytes->size > SIZE_MAX / 4)
        return false;
    size_t need = bytes->size + extra + 1;
    if (need <= bytes->capacity)
        return true;
    size_t capacity = bytes->capacity ? bytes->capacity : 64;
    while (capacity < need)
        capacity *= 2;
    char *data = realloc(bytes->data, capacity);
    if (!data)
        return false;
    bytes->data = data;
    bytes->data[bytes->size] = '\0';
    bytes->capacity = capacity;
    return true;
}

bool host_bytes_add(struct host_bytes *bytes, const void *data, size_t size)
{
    if (!host_bytes_reserve(bytes, size))
        return false;
    if (size)
        memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
    bytes->data[bytes->size] = '\0';
    return true;
}

bool host_bytes_add_text(struct host_bytes *bytes, const char *text)
{
    return host_bytes_add(bytes, text, strlen(text));
}

bool host_bytes_printf(struct host_bytes *bytes, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (size < 0 || !host_bytes_reserve(bytes, (size_t)size))
        return false;
    va_start(arguments, format);
    vsnprintf(bytes->data + bytes->size, (size_t)size + 1, format, arguments);
    va_end(arguments);
    bytes->size += (size_t)size;
    return true;
}

void host_bytes_drop(struct host_bytes *bytes, size_t size)
{
    if (size >= bytes->size) {
        host_bytes_clear(bytes);
        return;
    }
    bytes->size -= size;
    memmove(bytes->data, bytes->data + size, bytes->size + 1);
}

void host_bytes_clear(struct host_bytes *bytes)
{
    bytes->size = 0;
    if (bytes->data)
        bytes->data[0] = '\0';
}

void host_bytes_free(struct host_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct host_bytes){0};
}
