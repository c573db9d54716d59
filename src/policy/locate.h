/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

/* Finds a value in valid JSON text without NUL bytes: jansson tells where a syntax error is, but not where a
 * value came from. path: depth steps, each the ordinal (from 0) of a member or element. Line and column count
 * from 1, the column in characters, and point at the key (key true) or the value. Both are 0 when the path is
 * not there. Never fails. */
void mqlua_locate(const char *text, size_t size, const size_t *path, size_t depth, int key, int *line,
                  int *column);

/* Line and column of the byte at offset. Never fails. */
void mqlua_locate_offset(const char *text, size_t offset, int *line, int *column);
